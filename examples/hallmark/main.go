// Command hallmark signs, attests and verifies container images and files.
//
// Run "hallmark --help" for its commands. They are those of package command, without
// plug-ins.
package main

import (
	"os"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
)

func main() { os.Exit(command.New(command.Plugins{}).Main()) }
