// Command hallmark signs container images and files, verifies them, and shows
// and copies the evidence about them. Its commands are those of package command,
// without plug-ins.
package main

import (
	"os"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
)

func main() { os.Exit(command.New(command.Plugins{}).Main()) }
