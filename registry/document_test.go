package registry_test

import (
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
)

func TestParseDescriptor_RefusesWhatHasTwoReadings(t *testing.T) {
	const digest = `"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"`
	d, err := registry.ParseDescriptor([]byte(`{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":` + digest + `}`))
	if err != nil || d.Size != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, text := range []string{"", "[]", `{"mediaType":"a/b","size":2,"size":3,"digest":` + digest + `}`, `{"mediaType":"a/b","size":-1,"digest":` + digest + `}`} {
		if _, err := registry.ParseDescriptor([]byte(text)); !errors.Is(err, registry.ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
