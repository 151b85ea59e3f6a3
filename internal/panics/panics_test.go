package panics

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAPanicIsAnError(t *testing.T) {
	if err := Caught(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("%v", err)
	}
	if err := Caught(func() error { return nil }); err != nil {
		t.Errorf("%v", err)
	}
	var caught *Error
	if err := Caught(func() error { panic("unforeseen") }); !errors.As(err, &caught) || err.Error() != "internal failure: unforeseen" ||
		!strings.Contains(string(caught.Stack), "TestAPanicIsAnError") {
		t.Errorf("%v", err)
	}
}
