package sigstore_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func TestKnown_ChoosesItsRootAmongSeveral(t *testing.T) {
	lines := append(append(published(t, "public-good.json"), '\n'), published(t, "github.json")...)
	for _, name := range []string{sigstore.PublicGood, sigstore.GitHub} {
		i := sigstore.Known(name)
		i.Root = lines
		if _, err := sigstore.New(map[string]sigstore.Instance{name: i}); err != nil {
			t.Error(err)
		}
	}
	private := sigstore.Known("private")
	if private.WithoutLogs || private.WithoutCT || private.CertificateAuthority != "" {
		t.Errorf("%+v", private)
	}
}
