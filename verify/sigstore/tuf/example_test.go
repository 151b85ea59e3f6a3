package tuf_test

import (
	"context"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

// A repository that cannot be reached gives no trust root, and nothing is judged by none.
func ExampleOpen() {
	o := tuf.PublicGood()
	o.URL = "http://127.0.0.1:1" // nothing answers there
	o.Timeout = time.Second
	_, err := tuf.Open(context.Background(), o)
	fmt.Println(err != nil)

	o.URL = "http://tuf.example"
	_, err = tuf.Open(context.Background(), o)
	fmt.Println(err)
	// Output:
	// true
	// unusable TUF configuration: URL of "tuf.example": want https, or http on loopback
}
