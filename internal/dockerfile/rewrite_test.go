package dockerfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func TestRewritten(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"from", "FROM a..b AS x\n", "FROM range.a--b AS x\n"},
		{"from alone, no newline", "FROM a..b", "FROM range.a--b"},
		{"from in lower case", "from a..b as x", "from range.a--b as x"},
		{"from with platform", "FROM --platform=$BUILDPLATFORM a..b", "FROM --platform=$BUILDPLATFORM range.a--b"},
		{"from in quotes", `FROM "a..b" AS x`, `FROM range.a--b AS x`},
		{"from with arguments", "ARG A=x\nFROM ${A}..img:$A", "ARG A=x\nFROM range.a--img-a"},
		{"images", "FROM r.example:5000/a/b:1.2..debian:12.5-slim", "FROM range.r-example-5000-a-b-1-2--debian-12-5-slim"},
		{"copy", "FROM x\nCOPY --link --from=a..b / /\n", "FROM x\nCOPY --link --from=range.a--b / /\n"},
		{"copy in quotes", "FROM x\nCOPY --from=\"a..b\" / /\n", "FROM x\nCOPY --from=\"range.a--b\" / /\n"},
		{"copy half in quotes", "FROM x\nCOPY --from=\"a\"..b / /\n", "FROM x\nCOPY --from=\"range.a--b\" / /\n"},
		{"copy with escapes", "FROM x\nCOPY --from=a\\..b / /\n", "FROM x\nCOPY --from=range.a--b / /\n"},
		{"twice the same", "FROM x\nCOPY --from=a..b a b\nCOPY --from=a..b c d\n", "FROM x\nCOPY --from=range.a--b a b\nCOPY --from=range.a--b c d\n"},
		{"run", "FROM x\nRUN --mount=type=bind,from=a..b,target=/m ls ..\n", "FROM x\nRUN --mount=type=bind,from=range.a--b,target=/m ls ..\n"},
		{"run, upper case key", "FROM x\nRUN --mount=FROM=a..b,target=/m ls\n", "FROM x\nRUN --mount=FROM=range.a--b,target=/m ls\n"},
		{"run, in quotes", "FROM x\nRUN --mount='\"from=a..b\",target=/m' ls\n", "FROM x\nRUN --mount='\"from=range.a--b\",target=/m' ls\n"},
		{"run, two mounts", "FROM x\nRUN --network=none --mount=from=a..b,target=/m --mount=target=/n,from=c..d ls\n", "FROM x\nRUN --network=none --mount=from=range.a--b,target=/m --mount=target=/n,from=range.c--d ls\n"},
		{"continued", "FROM x\nCOPY \\\n  # a..b\n\n  --from=a..b \\\n  / /\n", "FROM x\nCOPY \\\n  # a..b\n\n  --from=range.a--b \\\n  / /\n"},
		{"continued inside", "FROM a.\\\n.b AS x\n", "FROM range.a--b\\\n AS x\n"},
		{"continued with backquotes", "# escape=`\nFROM `\n a..b\n", "# escape=`\nFROM `\n range.a--b\n"},
		{"carriage returns", "FROM a..b \\\r\n AS x\r\nRUN y\r\n", "FROM range.a--b \\\r\n AS x\r\nRUN y\r\n"},
		{"byte order mark", "\xef\xbb\xbfFROM a..b\n", "\xef\xbb\xbfFROM range.a--b\n"},
		{"indented", "  FROM   a..b\tAS x\n", "  FROM   range.a--b\tAS x\n"},
		{"heredoc", "FROM a..b\nRUN <<E\nFROM a..b\nCOPY --from=a..b / /\nE\n", "FROM range.a--b\nRUN <<E\nFROM a..b\nCOPY --from=a..b / /\nE\n"},
		{"comment", "# FROM a..b\nFROM a..b\n", "# FROM a..b\nFROM range.a--b\n"},
		{"name in use", "FROM x AS range.a--b\nFROM a..b\nFROM a..b\n", "FROM x AS range.a--b\nFROM range.a--b.2\nFROM range.a--b.3\n"},
		{"nothing else is touched", "FROM a..b\nCOPY ../x ..\nRUN cd ..\n", "FROM range.a--b\nCOPY ../x ..\nRUN cd ..\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse([]byte(tt.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			if f == nil {
				t.Fatal("no ranges")
			}
			got, err := f.Rewritten()
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoRanges(t *testing.T) {
	for _, text := range []string{
		"", "FROM x\nRUN cd ..\n", "FROM x\nCOPY .. /\n", "FROM x\nRUN <<E\nFROM a..b\nE\n", "# FROM a..b\nFROM x\n",
		"FROM ${A:-b..c}\n", "not..a..Dockerfile", "FROM x\nRUN --mount=source=../x,target=/y z\n", "FROM x\nUNKNOWN --from=a..b\n", "FROM x\nRUN <<E\nCOPY --from=a..b\n",
	} {
		if f, err := Parse([]byte(text), nil); f != nil || err != nil {
			t.Errorf("%q: %v %v", text, f, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		text string
		line int
		want string
	}{
		{"FROM x\n\nFROM a..b..c\n", 3, "name a stage in between"},
		{"FROM a..\n", 1, "nothing after the dots"},
		{"FROM x\nCOPY \\\n --from=a..$B / /\n", 2, "variables are only expanded in FROM"},
		{"FROM x\nONBUILD COPY --from=a..b / /\n", 2, "in ONBUILD"},
		{"FROM x\nONBUILD RUN --mount=from=a..b,target=/x y\n", 2, "in ONBUILD"},
		{"FROM x\nRUN --mount=target=/x,from=a..b..c y\n", 2, "name a stage in between"},
	}
	for _, tt := range tests {
		_, err := Parse([]byte(tt.text), nil)
		var at *Error
		if !errors.As(err, &at) || at.Start != tt.line || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %#v, want line %d and %q", tt.text, err, tt.line, tt.want)
		}
	}
}

func TestTakenNames(t *testing.T) {
	f, err := Parse([]byte("FROM a..b"), func(name string) bool { return name == "range.a--b" })
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Ranges[0].Name; got != "range.a--b.2" {
		t.Error(got)
	}
}

func TestWithSides(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"images", "FROM a..b", "FROM scratch AS relink.sides\nCOPY --from=docker.io/library/a / /0/lower\nCOPY --from=docker.io/library/b / /0/upper\n"},
		{"stages before", "FROM x AS a\nFROM a AS b\nFROM a..b\n", "FROM scratch AS relink.sides\nCOPY --from=0 / /0/lower\nCOPY --from=1 / /0/upper\n"},
		{"the stage itself", "FROM a..b AS a\n", "FROM scratch AS relink.sides\nCOPY --from=docker.io/library/a / /0/lower\nCOPY --from=docker.io/library/b / /0/upper\n"},
		{"two of a name", "FROM x AS a\nFROM y AS a\nFROM scratch..a\nFROM z AS a\n", "FROM scratch AS relink.sides\nCOPY --from=scratch / /0/lower\nCOPY --from=1 / /0/upper\n"},
		{"copy", "FROM x AS a\nFROM y\nCOPY --from=0..b / /\n", "FROM scratch AS relink.sides\nCOPY --from=0 / /0/lower\nCOPY --from=b / /0/upper\n"},
		{"arguments", "ARG V\nFROM a:$V..\"b\"\n", "FROM a:$V AS relink.sides.0.lower\nFROM scratch AS relink.sides\nCOPY --from=relink.sides.0.lower / /0/lower\nCOPY --from=docker.io/library/b / /0/upper\n"},
		{"platform", "FROM x AS b\nFROM --platform=linux/arm64 a..b\n", "FROM --platform=linux/arm64 docker.io/library/a AS relink.sides.0.lower\nFROM scratch AS relink.sides\nCOPY --from=relink.sides.0.lower / /0/lower\nCOPY --from=0 / /0/upper\n"},
		{"open end", "FROM a..b\nRUN x \\", "FROM scratch AS relink.sides\nCOPY --from=docker.io/library/a / /0/lower\nCOPY --from=docker.io/library/b / /0/upper\n"},
		{"open end before a comment", "FROM a..b\nRUN x \\\n# y\n", "FROM scratch AS relink.sides\nCOPY --from=docker.io/library/a / /0/lower\nCOPY --from=docker.io/library/b / /0/upper\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse([]byte(tt.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := f.WithSides(f.Ranges)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(string(s.Text), "\n"+tt.want) {
				t.Errorf("%q, want %q at its end", s.Text, tt.want)
			}
			n := bytes.Count([]byte(strings.TrimSuffix(tt.text, "\n")), []byte("\n")) + 1
			if s.Origin(n) != n || s.Origin(n+1) != f.Ranges[0].Line || s.Origin(n+9) != f.Ranges[0].Line {
				t.Errorf("origins of lines %d, %d, %d: %d, %d, %d", n, n+1, n+9, s.Origin(n), s.Origin(n+1), s.Origin(n+9))
			}
			checkSides(t, f, s)
		})
	}
}

// checkSides holds the appended stages to be stages of their own.
func checkSides(t *testing.T, f *File, s *Sides) {
	t.Helper()
	result, err := parser.Parse(bytes.NewReader(s.Text))
	if err != nil {
		t.Fatalf("%q: %v", s.Text, err)
	}
	if got, least := len(result.AST.Children), len(f.nodes)+1+2*len(s.Ranges); got < least {
		t.Fatalf("%q has %d instructions, want %d at least", s.Text, got, least)
	}
}

func FuzzRewrite(f *testing.F) {
	for _, s := range []string{
		"FROM a..b AS x\n", "FROM \"a..b\"", "FROM x\nCOPY \\\n# c\n --from=a.\\\n.b / /\n", "# escape=`\nFROM `\n a..b\n",
		"FROM x\nRUN --mount=type=bind,from=a..b,target=/m <<E\nFROM a..b\nE\n", "\xef\xbb\xbfFROM a..b \\\r\n AS x\r\n",
		"ONBUILD COPY --from=a..b / /\n", "FROM x\nCOPY --from='a'.\\.\"b\" / /\\\n", "FROM x\nRUN --mount='\"from=a..b\",target=/m' ls\n", "FROM a..b\nRUN x \\",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text, nil)
		if file == nil {
			var at *Error
			if err != nil && !errors.As(err, &at) {
				t.Fatalf("an error without lines: %v", err)
			}
			return
		}
		got, err := file.Rewritten()
		if err != nil {
			return
		}
		if n, want := bytes.Count(got, []byte("\n")), bytes.Count(text, []byte("\n")); n != want {
			t.Fatalf("%q has %d lines, %q %d", got, n, text, want)
		}
		if again, err := Parse(got, nil); again != nil || err != nil {
			t.Fatalf("%q still has ranges (%v)", got, err)
		}
		s, err := file.WithSides(file.Ranges)
		if err != nil {
			t.Fatal(err)
		}
		checkSides(t, file, s)
	})
}
