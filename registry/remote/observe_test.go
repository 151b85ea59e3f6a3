package remote_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestObserversAreToldOfEachRequest(t *testing.T) {
	hosted := registrytest.New(registrytest.Options{Auth: &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}})
	var mu sync.Mutex
	var told []string
	o := remote.Options{Keychain: credentials{user: "me", password: "secret"}, Observe: func(_ context.Context, r remote.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(r.Method, " ", r.Operation, " ", r.Status, " ", r.Redirected))
		if r.Duration < 0 || r.Registry == "" {
			t.Errorf("%+v", r)
		}
		panic("an observer has no say")
	}}
	client, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(registrytest.Start(t, hosted) + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Resolve(t.Context(), tag); registry.KindOf(err) != registry.ErrNotFound {
		t.Fatal(err)
	}
	if len(told) < 3 || told[0] != "HEAD resolve 401 false" {
		t.Errorf("%q", told)
	}
}
