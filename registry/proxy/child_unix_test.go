//go:build unix

package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"syscall"

	"github.com/hallmark-oci/hallmark/registry/proxy"
	"github.com/hallmark-oci/hallmark/verify"
)

// childGate serves until it is killed. Everything passes: it is about files.
func childGate(dir string) error {
	if size, err := strconv.ParseUint(os.Getenv(childFileSize), 10, 63); err == nil {
		limit := syscall.Rlimit{Cur: size, Max: size}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	store, err := proxy.OpenStore(dir, proxy.StoreOptions{})
	if err != nil {
		return err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := verify.NewKey(private.Public())
	if err != nil {
		return err
	}
	policy := verify.Signatures{Keys: []verify.Key{key}, Threshold: 1}.Policy()
	policy.Rules[0].Mode = verify.ModeWarn
	v, err := verify.New(policy, verify.Options{})
	if err != nil {
		return err
	}
	gate, err := proxy.New(proxy.Config{
		Verifier: v, Store: store, Client: quick,
		Upstreams: []proxy.Upstream{{Registry: known, Address: os.Getenv(childUpstream)}},
	})
	if err != nil {
		return err
	}
	server := httptest.NewServer(gate)
	defer server.Close()
	fmt.Println(server.URL)
	select {}
}
