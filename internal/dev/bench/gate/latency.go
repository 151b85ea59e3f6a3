package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// latency measures what a cold judgement adds to a manifest, before a registry
// that takes its time for each answer.
func (b *bench) latency(ctx context.Context) error {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
			if err := b.coldJudgements(ctx, delay, o); err != nil {
				return err
			}
		}
	}
	return nil
}

const coldImages = 20

func (b *bench) coldJudgements(ctx context.Context, delay time.Duration, o registrytest.Options) error {
	hosted := registrytest.New(o)
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		return err
	}
	defer stop()
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		return err
	}
	for i := range coldImages {
		digest, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag(fmt.Sprintf("v%d", i)), registrytest.ImageOptions{Seed: fmt.Sprint(i)})
		if err == nil {
			_, err = sign.Image(ctx, hosted.Store(), digest, sign.ImageOptions{}, b.images.signer)
		}
		if err != nil {
			return err
		}
	}
	if delay > 0 {
		hosted.Inject(registrytest.Fault{Do: registrytest.Delay(delay)})
	}
	gate, err := b.startGate(filepath.Join(b.dir, "proxy"), host)
	if err != nil {
		return err
	}
	defer gate.kill()
	direct, err := timeOf(ctx, host)
	if err != nil {
		return err
	}
	through, err := timeOf(ctx, gate.address)
	if err != nil {
		return err
	}
	added := through - direct
	what := fmt.Sprintf("cold judgement adds, %d ms upstream", delay.Milliseconds())
	if o.NoReferrers {
		what += ", no referrers API"
	}
	if delay == 0 {
		fmt.Printf("%-52s %14s %14s\n", what, "", fmt.Sprintf("%.1f ms", added))
		return nil
	}
	fmt.Printf("%-52s %14s %14s\n", what, "", fmt.Sprintf("%.1f ms", added))
	b.limit("  that is, in round trips of the upstream's", added/float64(delay.Milliseconds()), 3.5, "")
	return nil
}

// timeOf is the median of the milliseconds that a manifest takes by tag, each
// image for the first time.
func timeOf(ctx context.Context, address string) (float64, error) {
	if resp, err := http.Get("http://" + address + "/v2/"); err == nil { // connect
		_ = resp.Body.Close()
	}
	var all []float64
	for i := range coldImages {
		began := time.Now()
		if _, err := fetch(ctx, fmt.Sprintf("http://%s/v2/team/app/manifests/v%d", address, i), io.Discard); err != nil {
			return 0, err
		}
		all = append(all, float64(time.Since(began).Microseconds())/1000)
	}
	return median(all), nil
}
