package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// row is one build of the equivalence table.
//
// In the Dockerfile and the arguments these words are replaced: @base@ by the
// reference of the base, @dir@ by the directory of the context, @web@ by the
// address of the test's web server, @registry@ by that of the registry and
// @ref@ by the tag to build. Arguments with @ref@ in them say all about the
// output; without it, the image is pushed.
type row struct {
	name string
	// base names a base of the bed; baseDockerfile makes one of it, with stock
	// buildx, that @base@ stands for then.
	base, baseDockerfile string
	files                []bed.File
	dockerfile           string
	args, env            []string
	// fails is what stock buildx says when it cannot build the row; relink has
	// to say the same.
	fails string
	// report is what relink has to say about the copies of the tail.
	report expectation
	// prepare is for rows that need more than files.
	prepare func(*testing.T, *bed.Bed)
}

// expectation is what the report of a build should say; the zero value asks
// nothing of it.
type expectation struct {
	all     bool
	reasons []string
}

// anything is for rows whose report has nothing to say, or may say either.
var anything expectation

// linked expects every instruction of the tail to be linked.
var linked = expectation{all: true}

// unlinked expects that instructions are not linked for the given reasons.
func unlinked(reasons ...string) expectation { return expectation{reasons: reasons} }

func TestEquivalence(t *testing.T) {
	b := bed.Shared(t)
	web := startWeb(t)
	names, days, started := map[string]bool{}, new(newBases), time.Now().Truncate(time.Second)
	for _, rows := range [][]row{
		pathRows, treeRows, ownerRows, modeRows, workdirRows, variableRows, heredocRows,
		addRows, configRows, stageRows, optionRows, failingRows, debianRows,
	} {
		for _, r := range rows {
			if names[r.name] {
				t.Fatalf("two rows are called %q", r.name)
			}
			names[r.name] = true
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				trial{row: r, bed: b, web: web, started: started, newBases: days}.run(t)
			})
		}
	}
	if len(names) < 60 {
		t.Errorf("the table has %d rows", len(names))
	}
	t.Cleanup(func() {
		rows, inherited := days.rows.Load(), days.inherited.Load()
		t.Logf("%d rows were built on a new base, %d of them by inherited facts", rows, inherited)
		if int(rows) > len(names)/2 && inherited < 60 {
			t.Error("those are too few")
		}
	})
}

// trial is a row on its way through both builders.
type trial struct {
	row
	bed *bed.Bed
	web string

	dir, baseRef string
	// started is when the first row began: the commands of a row may have been run
	// by another.
	started time.Time
	*newBases
}

// newBases counts the rows that were built on a new base, and those of them that
// were linked by inherited facts.
type newBases struct{ rows, inherited atomic.Int32 }

func (tr trial) run(t *testing.T) {
	// buildx takes contexts whose directories have the same name for versions
	// of one, and sends only files whose size or time has changed.
	tr.dir = filepath.Join(t.TempDir(), slug(tr.name))
	if tr.prepare != nil {
		tr.prepare(t, tr.bed)
	}
	if tr.base != "" {
		tr.baseRef = tr.bed.Base(t, tr.base)
	}
	bed.WriteFiles(t, tr.dir, append([]bed.File{bed.Dir(".", 0o755)}, tr.files...)...)
	if tr.baseDockerfile != "" {
		tr.makeBase(t)
	}
	tr.write(t, "Dockerfile", tr.dockerfile)

	began := time.Now().Truncate(time.Second)
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	relinkRef, stockRef := tr.ref("relink"), tr.ref("stock")
	relink := tr.build(t, "relink", relinkRef, "--metadata-file", metadata)
	stock := tr.build(t, "buildx", stockRef)
	if tr.fails != "" {
		tr.compareFailures(t, stock, relink)
		return
	}
	stock.MustSucceed(t)
	relink.MustSucceed(t)
	tr.checkReport(t, metadata)
	compareImages(t, tr.bed, stockRef, relinkRef, began)
	compareLayers(t, tr.bed, stockRef, relinkRef)
	if !strings.Contains(strings.Join(tr.args, " "), "@ref@") {
		tr.again(t, stockRef, began)
		tr.onNewBase(t, stockRef)
	}
}

// again builds the row by what is remembered of the base, which for strict is as
// good as reading it.
func (tr trial) again(t *testing.T, stockRef string, began time.Time) {
	t.Helper()
	ref := tr.ref("again")
	tr.build(t, "relink", ref, "--link=strict").MustSucceed(t)
	compareImages(t, tr.bed, stockRef, ref, began)
}

// onNewBase builds the row on a base of another digest in which nothing has
// changed: what is remembered of the row's base is inherited where it may be.
func (tr trial) onNewBase(t *testing.T, stockRef string) {
	t.Helper()
	if tr.baseRef == "" {
		return
	}
	tr.rows.Add(1)
	rebuilt := tr.bed.Rebuilt(t, tr.baseRef, slug(tr.name))
	ref, metadata := tr.ref("new-base"), filepath.Join(t.TempDir(), "metadata.json")
	// Not by another text: rows copy their Dockerfile.
	tr.build(t, "relink", ref, "--metadata-file", metadata, "--build-context", tr.baseRef+"=docker-image://"+rebuilt).MustSucceed(t)
	compareImages(t, tr.bed, stockRef, ref, tr.started)
	for _, platform := range readReport(t, metadata).Link.Platforms {
		for _, instruction := range platform.Instructions {
			if instruction.Evidence == "inherited" {
				tr.inherited.Add(1)
				return
			}
		}
	}
}

// makeBase builds the base of the row from a Dockerfile.
func (tr *trial) makeBase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), slug(tr.name)+"-base")
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", tr.expand(tr.baseDockerfile, "")))
	ref := tr.ref("base")
	tr.bed.Plugin(t, dir, nil, "buildx", "build", "--push", "--provenance=false", "-t", ref, ".").MustSucceed(t)
	tr.baseRef = ref
}

func (tr trial) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(tr.expand(text, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

var unfitForName = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a name that references and paths can have.
func slug(name string) string {
	return strings.Trim(unfitForName.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func (tr trial) ref(tag string) string {
	return tr.bed.Registry.Ref("rows/" + slug(tr.name) + ":" + tag)
}

func (tr trial) expand(text, ref string) string {
	return strings.NewReplacer(
		"@base@", tr.baseRef, "@dir@", tr.dir, "@web@", tr.web, "@registry@", tr.bed.Registry.Host, "@ref@", ref,
	).Replace(text)
}

func (tr trial) build(t *testing.T, plugin, ref string, more ...string) bed.Result {
	t.Helper()
	args := []string{"build", "--provenance=false"}
	for _, arg := range tr.args {
		args = append(args, tr.expand(arg, ref))
	}
	if !strings.Contains(strings.Join(tr.args, " "), "@ref@") {
		args = append(args, "--push", "-t", ref)
	}
	return tr.bed.Plugin(t, tr.dir, tr.env, plugin, append(append(args, more...), ".")...)
}

// compareImages compares what is under two references, for each platform.
func compareImages(t *testing.T, b *bed.Bed, stockRef, relinkRef string, began time.Time) {
	t.Helper()
	stock, relink := b.Images(t, stockRef), b.Images(t, relinkRef)
	if len(stock) != len(relink) {
		t.Fatalf("%d images, want %d", len(relink), len(stock))
	}
	for i := range stock {
		stock[i].ClockFrom, relink[i].ClockFrom = began, began
		for _, diff := range bed.Compare(stock[i], relink[i]) {
			t.Errorf("%s: %s", stock[i].Platform, diff)
		}
	}
}

// compareLayers wants no layer to repeat what the base has.
func compareLayers(t *testing.T, b *bed.Bed, stockRef, relinkRef string) {
	t.Helper()
	stock, relink := b.Images(t, stockRef), b.Images(t, relinkRef)
	for i := range min(len(stock), len(relink)) {
		for _, diff := range bed.CompareLayers(stock[i], relink[i]) {
			t.Errorf("%s: %s", stock[i].Platform, diff)
		}
	}
}

var (
	// solveError is the part of an error that says what the builder met.
	solveError = regexp.MustCompile(`(?m)^ERROR: .*?failed to (?:solve|build): (?:failed to solve: )?(.*)$`)
	// snippetLine is a line of the Dockerfile in a printed source snippet.
	snippetLine = regexp.MustCompile(`(?m)^ *[0-9]+ \| .*$`)
	// unstable are the parts of messages that differ between any two builds.
	unstable = regexp.MustCompile(`[a-z0-9]{25}::[a-z0-9]{25}|sha256:[0-9a-f]{64}|/rows/[^ "]+|/cachemounts/buildkit[0-9]+`)
)

// compareFailures wants the same cause and the same source snippet from both,
// and nothing pushed.
func (tr trial) compareFailures(t *testing.T, stock, relink bed.Result) {
	t.Helper()
	if stock.Code == 0 || !strings.Contains(stock.Stderr, tr.fails) {
		t.Fatalf("stock buildx exits with %d and does not say %q:\n%s", stock.Code, tr.fails, stock.Stderr)
	}
	if relink.Code != stock.Code {
		t.Errorf("exit code %d, want %d", relink.Code, stock.Code)
	}
	stable := func(text string) string { return unstable.ReplaceAllString(text, "…") }
	cause := solveError.FindStringSubmatch(stable(stock.Stderr))
	if cause == nil {
		cause = []string{"", tr.fails}
	}
	if !strings.Contains(stable(relink.Stderr), cause[1]) {
		t.Errorf("the error does not say %q:\n%s", cause[1], relink.Stderr)
	}
	want, got := snippetLine.FindAllString(stock.Stderr, -1), snippetLine.FindAllString(relink.Stderr, -1)
	if !slices.Equal(want, got) {
		t.Errorf("the snippet is %q, want %q", got, want)
	}
	if tr.bed.Exists(t, tr.ref("relink")) {
		t.Error("an image was pushed")
	}
}

// report is the part of the metadata that relink adds.
type report struct {
	Link struct {
		Platforms []struct {
			Platform     string
			Mode         string
			Reason       string
			Instructions []struct {
				Instruction string
				Line        int
				Linked      bool
				Evidence    string
				Reason      string
			}
		}
	} `json:"relink.link"`
}

func readReport(t *testing.T, metadata string) (got report) {
	t.Helper()
	data, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatalf("reading the metadata file: %v", err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("parsing the metadata file: %v", err)
	}
	return got
}

func (tr trial) checkReport(t *testing.T, metadata string) {
	t.Helper()
	got := readReport(t, metadata)
	var reasons []string
	count := 0
	for _, platform := range got.Link.Platforms {
		for _, instruction := range platform.Instructions {
			count++
			if !instruction.Linked {
				reasons = append(reasons, instruction.Instruction+": "+instruction.Reason)
			}
		}
		if platform.Reason != "" {
			reasons = append(reasons, platform.Reason)
		}
	}
	t.Logf("%d instructions in the report, not linked: %q", count, reasons)
	if tr.report.all && (len(reasons) > 0 || count == 0) {
		t.Errorf("report: %d instructions, not linked: %q", count, reasons)
	}
	for _, want := range tr.report.reasons {
		if !slices.ContainsFunc(reasons, func(reason string) bool { return strings.Contains(reason, want) }) {
			t.Errorf("report: not linked: %q, want one for %q", reasons, want)
		}
	}
}
