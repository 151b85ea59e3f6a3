package remote

import "testing"

func TestExplanation_ReadsCodeMessageAndDetail(t *testing.T) {
	code, text := explanation([]byte(`{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"no","detail":"Updating assets is not allowed"}]}`))
	if code != "BLOB_UPLOAD_INVALID" || text != "BLOB_UPLOAD_INVALID no Updating assets is not allowed" {
		t.Errorf("%q, %q", code, text)
	}
}
