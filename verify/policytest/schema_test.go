package policytest_test

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/fielddocs"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

// With -update the descriptions of the schema are written:
//
//	go test ./verify/policytest -run Schema -update
var update = flag.Bool("update", false, "write descriptions.json")

func TestSchema_DescriptionsAreTheComments(t *testing.T) {
	types := []reflect.Type{reflect.TypeFor[policytest.File](), reflect.TypeFor[policytest.Case](), reflect.TypeFor[policytest.Expectation]()}
	docs, err := fielddocs.Read(".", types...)
	must(t, err)
	want, err := docs.JSON(types...)
	must(t, err)
	const path = "descriptions.json"
	if *update {
		must(t, os.WriteFile(path, want, 0o644)) //nolint:gosec // it is published
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: %s is not what the comments say: go test ./verify/policytest -run Schema -update", err, path)
	}
}
