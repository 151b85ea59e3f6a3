package registry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

func ExampleDescribe() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	tag, _ := name.NewTag("registry.example/team/app:v1")
	image, _ := registrytest.PushImage(ctx, store, tag, registrytest.ImageOptions{})
	pair, _ := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	_, _ = sign.Image(ctx, store, image, sign.ImageOptions{Annotations: map[string]string{"env": "prod"}}, pair.Signer)

	manifest, _ := registry.ReadManifest(ctx, store, image)
	for item, err := range registry.Evidence(ctx, store, image, registry.Limits{}) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		d := registry.Describe(item, manifest)
		fmt.Println(d.Kind, d.Format, d.SubjectMatches, d.Annotations["env"])
	}
	// Output: signature bundle true prod
}

func TestDescribe_EachFormat(t *testing.T) {
	s := registrytest.New(registrytest.Options{}).Store()
	subject := pushTagged(t, s, "registry.example/team/app:v1")
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{InsecureEmptyPassword: true})
	must(t, err)
	both := []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}
	signed, err := sign.Image(t.Context(), s, subject, sign.ImageOptions{Formats: both}, pair.Signer)
	must(t, err)
	blob, err := sign.Blob(t.Context(), strings.NewReader("a file"), pair.Signer)
	must(t, err)
	statement := `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`
	attach(t, s, subject, bundleItem(string(blob)), bundleItem("garbage"), envelopeItem(statement), simpleItem("garbage"))
	manifest, err := registry.ReadManifest(t.Context(), s, subject)
	must(t, err)
	var got []string
	for item, err := range registry.Evidence(t.Context(), s, subject, registry.Limits{}) {
		must(t, err)
		d := registry.Describe(item, manifest)
		hinted := d.Signer.KeyID == signed.Signatures[0].KeyID
		got = append(got, fmt.Sprintf("%s %s hinted:%v about:%v wrong:%v", d.Kind, d.Format, hinted, d.SubjectMatches, d.Error != ""))
		if d := registry.Describe(item, registry.Manifest{}); d.SubjectMatches {
			t.Errorf("about nothing: %+v", d)
		}
	}
	slices.Sort(got)
	want := []string{
		"other bundle hinted:false about:false wrong:true",
		"other dsse-envelope hinted:false about:false wrong:true",
		"signature bundle hinted:true about:true wrong:false",
		"signature of bytes bundle hinted:true about:false wrong:false",
		"signature simple-signing hinted:false about:false wrong:true",
		"signature simple-signing hinted:false about:true wrong:false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
