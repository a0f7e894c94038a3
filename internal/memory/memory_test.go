package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/skeleton"
)

var debian = frontend.Base{Repository: "docker.io/library/debian", Digest: "sha256:1", Platform: "linux/amd64"}

func of(digest string) frontend.Base { b := debian; b.Digest = digest; return b }

func facts(paths ...string) skeleton.Facts {
	f := skeleton.NewFacts()
	for _, p := range paths {
		f.Paths[p] = skeleton.Entry{Kind: skeleton.Dir, Mode: 0o755}
	}
	return f
}

func TestStoreKeepsAndAdds(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "relink", "facts")}
	if got := s.Recall(debian); got != nil {
		t.Errorf("an empty store recalls %v", got)
	}
	s.Keep(debian, facts("/a"))
	s.Keep(debian, facts("/b"))
	got := s.Recall(debian)
	if len(got) != 1 || len(got[0].Facts.Paths) != 2 || !got[0].Local || got[0].Base != debian {
		t.Errorf("recalled %+v", got)
	}
}

func TestStoreRecallsTheRepositoryLatestFirst(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	for i, d := range []string{"sha256:1", "sha256:2", "sha256:3"} {
		s.Keep(of(d), facts("/"+d[7:]))
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(s.file(of(d)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	other := debian
	other.Repository = "docker.io/library/alpine"
	s.Keep(other, facts("/other"))
	definition := frontend.Base{Digest: "sha256:1", Platform: "linux/amd64"}
	s.Keep(definition, facts("/definition"))

	var got []string
	for _, r := range s.Recall(of("sha256:1")) {
		got = append(got, r.Base.Digest)
	}
	if fmt.Sprint(got) != "[sha256:1 sha256:3 sha256:2]" {
		t.Errorf("recalled %v", got)
	}
	if got := s.Recall(frontend.Base{Digest: "sha256:2", Platform: "linux/amd64"}); got != nil {
		t.Errorf("a definition recalls another's facts: %v", got)
	}
	arm := debian
	arm.Platform = "linux/arm64"
	if got := s.Recall(arm); got != nil {
		t.Errorf("a platform recalls another's facts: %v", got)
	}
}

func TestStoreIgnoresAndReplacesDamage(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	s.Keep(debian, facts("/a"))
	if err := os.WriteFile(s.file(debian), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.Recall(debian); got != nil {
		t.Errorf("recalled %v from a damaged file", got)
	}
	s.Keep(debian, facts("/b"))
	if got := s.Recall(debian); len(got) != 1 || len(got[0].Facts.Paths) != 1 {
		t.Errorf("recalled %v", got)
	}
}

func TestStorePrunes(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	s.Keep(of("sha256:old"), facts("/old"))
	old := time.Now().Add(-maxAge - time.Hour)
	if err := os.Chtimes(s.file(of("sha256:old")), old, old); err != nil {
		t.Fatal(err)
	}
	for i := range maxBases + 3 {
		s.Keep(of(fmt.Sprint("sha256:", i)), facts("/a"))
	}
	if got := len(s.files("")); got != maxBases {
		t.Errorf("%d files, want %d", got, maxBases)
	}
	if _, err := os.Stat(s.file(of("sha256:old"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
}

// Commands that run side by side never see half a file.
func TestStoreSideBySide(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := Store{Dir: dir}
			for range 20 {
				s.Keep(debian, facts(fmt.Sprint("/", i)))
				if got := s.Recall(debian); len(got) != 1 || len(got[0].Facts.Paths) == 0 {
					t.Errorf("recalled %v", got)
				}
			}
		}()
	}
	wg.Wait()
}

// What the builds of one command write adds up, and each knows it at once.
func TestStoreOfOneCommand(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			path := fmt.Sprint("/", i)
			s.Keep(debian, facts(path))
			if got := s.Recall(debian); len(got) != 1 || got[0].Facts.Paths[path].Kind != skeleton.Dir {
				t.Errorf("recalled %v, without %s", got, path)
			}
		})
	}
	wg.Wait()
	for name, s := range map[string]*Store{"the same": &s, "the next": {Dir: s.Dir}} {
		if got := s.Recall(debian); len(got) != 1 || len(got[0].Facts.Paths) != 20 {
			t.Errorf("%s command recalls %v, want all of 20", name, got)
		}
	}
	// A base's own facts are among those of its repository.
	s.Recall(of("sha256:2"))
	s.Keep(debian, facts("/more"))
	if got := s.Recall(of("sha256:2")); len(got) != 1 || len(got[0].Facts.Paths) != 21 {
		t.Errorf("recalled %v for another base, want all of 21", got)
	}
}

func TestStoreThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	(&Store{Dir: filepath.Join(file, "facts")}).Keep(debian, facts("/a"))
}

// manifests are images by name with the facts that they carry.
type manifests map[string]string

func (m manifests) Manifest(_ context.Context, ref, _ string) (ocispecs.Manifest, error) {
	value, ok := m[ref]
	if !ok {
		return ocispecs.Manifest{}, errors.New("not found")
	}
	if value == "" {
		return ocispecs.Manifest{}, nil
	}
	return ocispecs.Manifest{Annotations: map[string]string{frontend.FactsAnnotation: value}}, nil
}

func carried(t *testing.T, base frontend.Base, f skeleton.Facts) string {
	t.Helper()
	value, err := frontend.EncodeFacts(base, f)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestMemoryAsksImages(t *testing.T) {
	arm := debian
	arm.Platform = "linux/arm64"
	m := &Memory{
		Store: &Store{Dir: t.TempDir()},
		Manifests: manifests{
			"older": carried(t, of("sha256:0"), facts("/older")), "same": carried(t, debian, facts("/same")),
			"arm": carried(t, arm, facts("/arm")), "none": "", "damaged": "{",
		},
		Images: []string{"missing", "none", "older", "damaged", "arm", "same"},
	}
	got, remarks := m.Recall(context.Background(), debian)
	if len(got) != 2 || got[0].From != "carried by same" || got[1].From != "carried by older" || got[0].Local {
		t.Errorf("recalled %+v", got)
	}
	if len(remarks) != 2 || !strings.Contains(remarks[0], "damaged") || !strings.Contains(remarks[1], "linux/arm64") {
		t.Errorf("remarks: %q", remarks)
	}

	m.Keep(debian, facts("/here"))
	got, _ = m.Recall(context.Background(), debian)
	if len(got) != 1 || !got[0].Local {
		t.Errorf("images were asked although the base is known: %+v", got)
	}
}
