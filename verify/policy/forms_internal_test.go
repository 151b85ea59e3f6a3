package policy

import "testing"

func TestForms_TextsThatAreAlmostRight(t *testing.T) {
	for form, c := range map[string]struct {
		is       func(string) bool
		yes, not []string
	}{
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
