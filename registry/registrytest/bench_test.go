package registrytest_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// BenchmarkHandler measures what the registry itself costs over loopback HTTP,
// to tell it from the cost of a client under test.
func BenchmarkHandler(b *testing.B) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(b, r)
	r.Put("app", "v1", ociManifest, []byte(manifestOf("one", "")))
	blob := r.PutBlob("app", make([]byte, 100<<20))
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	for name, path := range map[string]string{"manifest": tagPath, "blob of 100 MiB": "/v2/app/blobs/" + blob} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := &http.Client{Transport: transport}
				for pb.Next() {
					res, err := c.Get("http://" + host + path)
					if err != nil {
						b.Error(err)
						return
					}
					n, err := io.Copy(io.Discard, res.Body)
					if err := res.Body.Close(); err != nil {
						b.Error(err)
					}
					if err != nil || n != res.ContentLength {
						b.Errorf("%d bytes, %v", n, err)
					}
					b.SetBytes(n)
				}
			})
		})
	}
}
