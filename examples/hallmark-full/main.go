// Command hallmark-full is hallmark with the project's opt-in plug-ins: it fetches trust
// roots by TUF, and policies may have expressions of CEL.
//
//	go run -C examples/hallmark-full . trusted-root fetch --out trusted_root.json
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policy/cel"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

func main() { os.Exit(command.New(plugins()).Main()) }

func plugins() command.Plugins {
	return command.Plugins{
		Authorities:      map[string]policy.Authority{cel.Name: cel.New()},
		FetchTrustedRoot: fetch,
	}
}

// fetch gets the trust root of an instance by TUF.
func fetch(ctx context.Context, r command.RootRequest) ([]byte, error) {
	o := tuf.Options{URL: r.Repository, Root: r.FirstRoot, Target: "trusted_root.json", File: r.State}
	if r.Repository == "" {
		if r.Instance != sigstore.PublicGood {
			return nil, fmt.Errorf("instance %q: this program knows the repository of %s alone; name another with --repository and --first-root", r.Instance, sigstore.PublicGood)
		}
		o = tuf.PublicGood()
		o.File = r.State
	}
	client, err := tuf.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := client.Refresh(ctx); err != nil {
		return nil, err
	}
	target, err := client.Current()
	if err != nil {
		return nil, err
	}
	return target.Content, nil
}
