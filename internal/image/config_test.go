package image

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

const diffA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestParseConfigErrors(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		notImage       bool
	}{
		{name: "empty", in: ``, want: "unexpected end"},
		{name: "cut off", in: `{"os":"linux","rootfs":{"type":"lay`, want: "unexpected end"},
		{name: "followed by garbage", in: `{"rootfs":{"type":"layers"}} x`, want: "after top-level value"},
		{name: "null", in: `null`, want: "null instead of an object", notImage: true},
		{name: "list", in: `[]`, want: "cannot unmarshal array"},
		{name: "artifact", in: `{}`, want: "no rootfs", notImage: true},
		{name: "wrong rootfs type", in: `{"rootfs":{"type":"wasm"}}`, want: `rootfs type "wasm"`, notImage: true},
		{name: "damaged DiffID", in: `{"rootfs":{"type":"layers","diff_ids":["` + diffA + `","sha256:00"]}}`, want: "DiffID 2 of 2"},
		{name: "wrong field type", in: `{"config":{"Env":"A=1"},"rootfs":{"type":"layers"}}`, want: "Env"},
		{name: "wrong time", in: `{"created":"yesterday","rootfs":{"type":"layers"}}`, want: "yesterday"},
		{name: "config is a list", in: `{"config":[],"rootfs":{"type":"layers"}}`, want: "cannot unmarshal array"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseConfig([]byte(tc.in))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "parsing image config: ") {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if errors.Is(err, ErrNotImageConfig) != tc.notImage {
				t.Errorf("%v: is ErrNotImageConfig: %v, want %v", err, !tc.notImage, tc.notImage)
			}
		})
	}
}

func TestParseConfigKeepsUnknownFields(t *testing.T) {
	in := `{
		"architecture":"arm64", "variant":"v8", "os":"linux", "docker_version":"20.10",
		"future":{"b":1,"a":[true]},
		"config":{"env":["A=1"],"Hostname":"h","Healthcheck":{"Test":["NONE"]},"Memory":0},
		"rootfs":{"type":"layers","diff_ids":["` + diffA + `"]},
		"history":[{"created_by":"x","created":"2024-01-02T03:04:05.000000006Z"}]
	}`
	c, err := ParseConfig([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Config.Env; len(got) != 1 || got[0] != "A=1" {
		t.Errorf("Env %q: a field's case must not matter", got)
	}
	out, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := `{
		"architecture":"arm64", "variant":"v8", "os":"linux", "docker_version":"20.10",
		"future":{"b":1,"a":[true]},
		"config":{"Env":["A=1"],"Hostname":"h","Healthcheck":{"Test":["NONE"]},"Memory":0},
		"rootfs":{"type":"layers","diff_ids":["` + diffA + `"]},
		"history":[{"created_by":"x","created":"2024-01-02T03:04:05.000000006Z"}]
	}`
	if !reflect.DeepEqual(decoded(t, out), decoded(t, []byte(want))) {
		t.Errorf("got %s\nwant %s", out, want)
	}
}

func TestMarshalNamesTheRootFS(t *testing.T) {
	c, err := ParseConfig([]byte(`{"rootfs":{"diff_ids":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Marshal(); err != nil || !strings.Contains(string(out), `"type":"layers"`) {
		t.Errorf("got %s, %v", out, err)
	}
}

func decoded(t *testing.T, dt []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(dt, &v); err != nil {
		t.Fatalf("%v in %s", err, dt)
	}
	return v
}

// FuzzConfig feeds damaged configs to everything that takes one. Nothing may
// panic, what is written must read back as the same, and a rebased config must
// have a history that agrees with its layers.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{}`), 0)
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/a","","=","A"],"Cmd":null,"x":1},"rootfs":{"type":"layers","diff_ids":["`+diffA+`"]},"history":[{"empty_layer":true},{},{}]}`), 1)
	f.Add([]byte(`{"architecture":"amd64","os":"windows","os.version":"10.0","CONFIG":{"env":["path=C:\\a;b"],"Image":"x"},"rootfs":{"diff_ids":null},"id":"x"}`), 0)
	f.Fuzz(func(t *testing.T, dt []byte, layers int) {
		c, err := ParseConfig(dt)
		if err != nil {
			return
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		again, err := ParseConfig(out)
		if err != nil {
			t.Fatalf("reading what was written: %v\n%s", err, out)
		}
		if twice, _ := again.Marshal(); string(twice) != string(out) {
			t.Errorf("written twice:\n%s\n%s", out, twice)
		}
		for _, old := range []*Config{c, nil} {
			r, err := Rebase(Input{Image: c, OldBase: old, NewBase: c, OldBaseLayers: layers})
			if err != nil {
				continue
			}
			if got, want := CountLayers(r.Config.History), len(r.Config.RootFS.DiffIDs); got != want {
				t.Errorf("history of %d layers for %d", got, want)
			}
			if _, err := r.Config.Marshal(); err != nil {
				t.Errorf("writing the result: %v", err)
			}
		}
	})
}
