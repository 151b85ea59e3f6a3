package keyless_test

import (
	"os"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }
