package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// smallestProgram is one that really verifies, and does nothing else.
type smallestProgram struct{ who, dir, pkg string }

// program measures size, modules, start-up, and with -cold the first build of a
// program that imports the library.
func (s *stage) smallest(ctx context.Context) error {
	rows := []row{
		{Unit: "MB, stripped"}, {Unit: "modules linked"}, {Unit: "ms to start, refused at once"}, {Unit: "seconds of a first build"},
	}
	for i := range rows {
		rows[i].Section, rows[i].Work = "a program that verifies", "the smallest one"
	}
	for _, p := range []smallestProgram{
		{"Hallmark", s.top, "./internal/dev/house/verifier"},
		{"cosign v2 library", s.here, "./cosign/verifier"},
		{"sigstore-go", s.here, "./cosign/sigstorego"},
	} {
		binary := filepath.Join(s.dir, "smallest")
		if err := s.build(ctx, binary, p.dir, p.pkg); err != nil {
			return err
		}
		info, err := os.Stat(binary)
		if err != nil {
			return err
		}
		modules, err := modulesOf(ctx, p)
		if err != nil {
			return err
		}
		started, err := s.rounds(nil, func() (float64, error) { return startUp(ctx, binary) })
		if err != nil {
			return err
		}
		figures := []figure{figureOf([]float64{float64(info.Size()) / 1e6}), figureOf([]float64{float64(modules)}), started[0]}
		if s.cold {
			seconds, err := s.firstBuild(ctx, p)
			if err != nil {
				return err
			}
			figures = append(figures, figureOf([]float64{seconds}))
		}
		for i, f := range figures {
			rows[i].Entries = append(rows[i].Entries, entry{Who: p.who, figure: f})
		}
	}
	for i, most := range []float64{12, 24, 7, 28} {
		if len(rows[i].Entries) > 0 {
			s.table.add(rows[i], goal{atMost: most})
		}
	}
	return nil
}

// modulesOf counts the third-party modules that a program links.
func modulesOf(ctx context.Context, p smallestProgram) (int, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", p.pkg)
	cmd.Dir = p.dir
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", p.pkg, err)
	}
	seen := make(map[string]bool)
	for path := range strings.FieldsSeq(string(out)) {
		seen[path] = true
	}
	return len(seen), nil
}

// startUp is how long a program takes that is called without arguments.
func startUp(ctx context.Context, binary string) (float64, error) {
	var all []float64
	for range processesEach {
		began := time.Now()
		var exit *exec.ExitError
		if err := exec.CommandContext(ctx, binary).Run(); !errors.As(err, &exit) {
			return 0, fmt.Errorf("%s without arguments: %v, want a refusal", binary, err)
		}
		all = append(all, milliseconds(time.Since(began)))
	}
	return figureOf(all).Median, nil
}

// firstBuild is how long a build takes that finds nothing compiled, the standard
// library included.
func (s *stage) firstBuild(ctx context.Context, p smallestProgram) (float64, error) {
	cache, err := os.MkdirTemp(s.dir, "cache-")
	if err != nil {
		return 0, err
	}
	s.progress("first build of %s", p.pkg)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", os.DevNull, p.pkg)
	cmd.Dir = p.dir
	cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+cache), os.Stderr
	began := time.Now()
	err = cmd.Run()
	return time.Since(began).Seconds(), errors.Join(err, os.RemoveAll(cache))
}
