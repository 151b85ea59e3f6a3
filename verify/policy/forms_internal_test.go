package policy

import "testing"

func TestForms_TextsThatAreAlmostRight(t *testing.T) {
	for form, c := range map[string]struct {
		is       func(string) bool
		yes, not []string
	}{
		"URI":      {isURI, []string{"https://a.example/x", "git+https://a.example", "pkg:oci/app"}, []string{"", "a.example/x", "9p:x", "h_p:x", "https:", "https://a b", "https://ä.example"}},
		"platform": {isPlatform, []string{"linux/amd64", "linux/arm/v7"}, []string{"", "linux", "linux/", "Linux/amd64", "linux/arm/v7/x"}},
	} {
		for _, text := range c.yes {
			if !c.is(text) {
				t.Errorf("%q is refused as a %s", text, form)
			}
		}
		for _, text := range c.not {
			if c.is(text) {
				t.Errorf("%q passes as a %s", text, form)
			}
		}
	}
}
