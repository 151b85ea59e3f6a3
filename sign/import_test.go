package sign_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
)

func TestImport_EncryptsAKeyThatExists(t *testing.T) {
	from, err := sign.Generate(t.Context(), sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := sign.KeyOptions{Password: []byte("new"), PrivatePath: filepath.Join(dir, "k.key"), PublicPath: filepath.Join(dir, "k.pub")}
	empty := sign.LoadOptions{Password: func(context.Context) ([]byte, error) { return nil, nil }}
	pair, err := sign.Import(t.Context(), from.PrivatePEM, empty, o)
	if err != nil {
		t.Fatal(err)
	}
	if pair.ID != from.ID || string(pair.PublicPEM) != string(from.PublicPEM) {
		t.Errorf("the key is %s, not %s", pair.ID, from.ID)
	}
	if _, err := sign.Load(t.Context(), o.PrivatePath, sign.LoadOptions{Password: func(context.Context) ([]byte, error) { return []byte("new"), nil }}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(o.PublicPath); err != nil || string(text) != string(from.PublicPEM) {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := sign.Import(t.Context(), from.PrivatePEM, empty, o); !errors.Is(err, os.ErrExist) {
		t.Errorf("files are overwritten: %v", err)
	}
}

func TestAttack_S3_ImportNeedsAPasswordAndAKey(t *testing.T) {
	from, err := sign.Generate(t.Context(), sign.KeyOptions{Password: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	old := sign.LoadOptions{Password: func(context.Context) ([]byte, error) { return []byte("old"), nil }}
	for what, c := range map[string]struct {
		text []byte
		from sign.LoadOptions
		o    sign.KeyOptions
		want error
	}{
		"no password":   {from.PrivatePEM, old, sign.KeyOptions{}, sign.ErrPassword},
		"not opened":    {from.PrivatePEM, sign.LoadOptions{}, sign.KeyOptions{Password: []byte("new")}, sign.ErrPassword},
		"a public key":  {from.PublicPEM, old, sign.KeyOptions{Password: []byte("new")}, sign.ErrKey},
		"another kind":  {from.PrivatePEM, old, sign.KeyOptions{Password: []byte("new"), Algorithm: sign.Ed25519}, sign.ErrKey},
		"no key at all": {nil, old, sign.KeyOptions{Password: []byte("new")}, sign.ErrKey},
	} {
		if pair, err := sign.Import(t.Context(), c.text, c.from, c.o); pair != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}
