package commands

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/image"
)

// stored are manifests by reference.
type stored map[string][]digest.Digest

func (s stored) Describe(_ context.Context, ref string) (*image.Description, error) {
	layers, ok := s[ref]
	if !ok {
		return nil, errors.New("no way there")
	}
	m := image.Manifest{Platform: &ocispecs.Platform{OS: "linux", Architecture: "amd64"}}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispecs.Descriptor{Digest: l})
	}
	return &image.Description{Manifests: []image.Manifest{m}}, nil
}

func plannedRebase(pushed string) *rebaseReport {
	return &rebaseReport{pushed: []string{pushed}, reports: []frontend.RebaseReport{{Platforms: []frontend.RebasePlatform{{
		Platform: "linux/amd64",
		By:       []frontend.Layer{{Digest: "sha256:base"}},
		Kept:     []frontend.Layer{{Digest: "sha256:own"}, {}},
	}}}}}
}

func TestVerifyPushed(t *testing.T) {
	known := stored{
		"right":  {"sha256:base", "sha256:own", "sha256:unknown"},
		"other":  {"sha256:base", "sha256:else", "sha256:unknown"},
		"short":  {"sha256:base", "sha256:own"},
		"longer": {"sha256:base", "sha256:own", "sha256:unknown", "sha256:more"},
	}
	for ref, wrong := range map[string]bool{"right": false, "other": true, "short": true, "longer": true} {
		err := plannedRebase(ref).verify(context.Background(), known, &bytes.Buffer{})
		if (err != nil) != wrong {
			t.Errorf("%s: %v", ref, err)
		}
	}
	of := plannedRebase("longer")
	of.reports[0].Platforms[0].Built = true
	if err := of.verify(context.Background(), known, &bytes.Buffer{}); err != nil {
		t.Errorf("an instruction that made two layers: %v", err)
	}
	for _, tt := range []struct {
		ref    string
		squash frontend.SquashPlatform
		wrong  bool
	}{
		{ref: "right", squash: frontend.SquashPlatform{Kept: make([]frontend.Layer, 2), Runs: 1}},
		{ref: "short", squash: frontend.SquashPlatform{Kept: make([]frontend.Layer, 2), Runs: 1}, wrong: true},
		{ref: "right", squash: frontend.SquashPlatform{Kept: []frontend.Layer{{Digest: "sha256:base"}, {Digest: "sha256:unknown"}}, Runs: 1}},
		{ref: "other", squash: frontend.SquashPlatform{Kept: []frontend.Layer{{Digest: "sha256:base"}, {Digest: "sha256:own"}}, Runs: 1}, wrong: true},
		{ref: "right", squash: frontend.SquashPlatform{Kept: []frontend.Layer{{Digest: "sha256:own"}, {Digest: "sha256:base"}}, Runs: 1}, wrong: true},
		{ref: "right", squash: frontend.SquashPlatform{Kept: make([]frontend.Layer, 3), Nothing: "one layer"}},
		{ref: "short", squash: frontend.SquashPlatform{Kept: make([]frontend.Layer, 3), Nothing: "one layer"}, wrong: true},
		{ref: "short", squash: frontend.SquashPlatform{Kept: make([]frontend.Layer, 3), Nothing: "one layer", Built: true}},
	} {
		tt.squash.Platform = "linux/amd64"
		squash := &rebaseReport{pushed: []string{tt.ref}, squash: []frontend.SquashPlatform{tt.squash}}
		if err := squash.verify(context.Background(), known, &bytes.Buffer{}); (err != nil) != tt.wrong {
			t.Errorf("a squash to %s of %+v: %v", tt.ref, tt.squash, err)
		}
	}
	var said bytes.Buffer
	if err := plannedRebase("gone").verify(context.Background(), known, &said); err != nil || !strings.Contains(said.String(), "was not verified: no way there") {
		t.Errorf("a registry that is out of reach: %v, said %q", err, said.String())
	}
}

// What was pushed wrong is built again, and an error when it stays wrong.
func TestRunVerifiedTriesAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		pushes []string
		tries  int
		fails  bool
	}{
		"right at once":      {[]string{"right"}, 1, false},
		"right in the end":   {[]string{"other", "right"}, 2, false},
		"wrong to the end":   {[]string{"other", "other", "other", "right"}, rebaseTries, true},
		"nothing was pushed": {nil, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			report, tries := &rebaseReport{}, 0
			build := &cobra.Command{RunE: func(*cobra.Command, []string) error {
				if tries < len(tc.pushes) {
					planned := plannedRebase(tc.pushes[tries])
					report.pushed, report.reports = planned.pushed, planned.reports
				}
				tries++
				return nil
			}}
			build.Flags().Bool("push", len(tc.pushes) > 0, "")
			build.Flags().StringArray("output", nil, "")
			known := stored{"right": {"sha256:base", "sha256:own", "sha256:x"}, "other": {"sha256:x"}}
			err := runVerified(context.Background(), build, "", known, report, &bytes.Buffer{})
			if (err != nil) != tc.fails || tries != tc.tries {
				t.Errorf("%d tries, %v; want %d", tries, err, tc.tries)
			}
		})
	}
}
