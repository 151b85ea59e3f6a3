package keyless

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/safetext"
)

// spiffe asks the SPIFFE Workload API for a JWT-SVID (SPIFFE_Workload_API.md, section 6.1;
// gRPC over HTTP/2, PROTOCOL-HTTP2.md). Two messages of strings need no generated code.
func (a *ambient) spiffe(ctx context.Context) (string, error) {
	text := a.getenv("SPIFFE_ENDPOINT_SOCKET")
	network, address, err := spiffeAddress(text)
	if err != nil {
		return "", fmt.Errorf("%w: SPIFFE_ENDPOINT_SOCKET %s: %w", ErrIdentity, safetext.Of(text, 200), err)
	}
	fail := func(err error) error {
		return &ServiceError{Service: provider, URL: safetext.Of(text, 200), Err: err}
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	message := protoString(1, a.Audience)
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/SpiffeWorkloadAPI/FetchJWTSVID", bytes.NewReader(append(body, message...)))
	if err != nil {
		return "", err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Workload.spiffe.io": {"true"}}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", fail(err)
	}
	defer resp.Body.Close()
	answer, err := limit.ReadAll(resp.Body, maxAnswerBytes)
	if err != nil {
		return "", fail(err)
	}
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status")
	}
	if resp.StatusCode != http.StatusOK || status != "0" {
		return "", fail(fmt.Errorf("status %d, gRPC status %s", resp.StatusCode, safetext.Of(status, 20)))
	}
	token, err := firstSVID(answer)
	if err != nil {
		return "", fail(fmt.Errorf("%w: %w", ErrUntrusted, err))
	}
	return token, nil
}

// spiffeAddress reads an address (SPIFFE_Workload_Endpoint.md, section 4).
func spiffeAddress(text string) (network, address string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "", errors.New("not a URI")
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return "unix", u.Path, nil
	case u.Scheme == "" && strings.HasPrefix(text, "/"): // as cosign takes it
		return "unix", text, nil
	case u.Scheme == "tcp" && u.Port() != "" && netguard.IsLoopback(u.Hostname()):
		return "tcp", u.Host, nil
	}
	return "", "", errors.New("want unix:///PATH, or tcp://IP:PORT on loopback")
}

// protoString writes a field of Protocol Buffers that holds a string.
func protoString(number int, text string) []byte {
	out := binary.AppendUvarint(nil, uint64(number)<<3|2)
	out = binary.AppendUvarint(out, uint64(len(text)))
	return append(out, text...)
}

// protoField finds the first field of the number that holds bytes.
func protoField(message []byte, number uint64) ([]byte, error) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag&7 != 2 {
			return nil, errors.New("malformed message")
		}
		size, m := binary.Uvarint(message[n:])
		if m <= 0 || size > uint64(len(message)-n-m) {
			return nil, errors.New("malformed message")
		}
		value := message[n+m : n+m+int(size)]
		if tag>>3 == number {
			return value, nil
		}
		message = message[n+m+int(size):]
	}
	return nil, errors.New("the message lacks a field")
}

// firstSVID reads the token of the first JWTSVID in a JWTSVIDResponse: the default
// identity.
func firstSVID(frame []byte) (string, error) {
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-5) {
		return "", errors.New("not one message")
	}
	svid, err := protoField(frame[5:], 1)
	if err != nil {
		return "", err
	}
	token, err := protoField(svid, 2)
	return string(token), err
}
