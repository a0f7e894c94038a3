package commands

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/buildx/bake"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/internal/errdefs"
)

// diffTarget is the name of the target that a difference of bake targets is.
const diffTarget = "relink-diff-build"

// bakeTargets are the names of the targets that bake files have.
func bakeTargets(names []string) ([]string, error) {
	files, err := bake.ReadLocalFiles(names, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the bake file: %w", err)
	}
	targets, err := bake.ListTargets(files)
	if err != nil {
		return nil, fmt.Errorf("reading the bake file: %w", err)
	}
	return targets, nil
}

// runBuild runs the build of a difference: as a build, or where bake files are
// given as a target beside theirs.
func (d *diffRun) runBuild() error {
	if len(d.bakeFiles) == 0 {
		return d.build.RunE(d.build, []string{d.context})
	}
	dir, err := os.MkdirTemp("", "relink-bake-")
	if err != nil {
		return fmt.Errorf("making a bake file: %w", err)
	}
	defer os.RemoveAll(dir)
	target, err := bakeTarget(d.build.Flags(), d.context)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"target": map[string]any{diffTarget: target}})
	if err != nil {
		return fmt.Errorf("making a bake file: %w", err)
	}
	file := filepath.Join(dir, "difference.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("making a bake file: %w", err)
	}
	if err := d.bakeFlags(append(slices.Clone(d.bakeFiles), file)); err != nil {
		return err
	}
	d.bake.SetContext(d.build.Context())
	return d.bake.RunE(d.bake, []string{diffTarget})
}

// bakeFlags sets those flags of bake that a target has no field for.
func (d *diffRun) bakeFlags(files []string) error {
	from, to := d.build.Flags(), d.bake.Flags()
	allow, err := from.GetStringSlice("allow")
	if err != nil {
		allow, err = from.GetStringArray("allow")
	}
	if err != nil {
		return err
	}
	// What the difference itself reads and writes are directories of our own.
	allow = append(allow, "fs="+os.TempDir())
	for name, values := range map[string][]string{"file": files, "allow": allow} {
		list, ok := to.Lookup(name).Value.(pflag.SliceValue)
		if !ok {
			return errdefs.Internalf("bake's flag --%s takes no list", name)
		}
		if err := list.Replace(values); err != nil {
			return err
		}
	}
	for _, name := range []string{"progress", "metadata-file", "provenance", "no-cache", "pull"} {
		if flag := from.Lookup(name); flag.Changed {
			if err := to.Set(name, flag.Value.String()); err != nil {
				return fmt.Errorf("setting bake's --%s: %w", name, err)
			}
		}
	}
	return nil
}

// targetFields are the fields of a target that are lists of build's flags.
var targetFields = map[string]string{
	"tag": "tags", "cache-from": "cache-from", "cache-to": "cache-to", "secret": "secret", "ssh": "ssh",
	"output": "output", "attest": "attest", "annotation": "annotations", "platform": "platforms",
	"no-cache-filter": "no-cache-filter",
}

// bakeTarget is the target that a build with these flags is.
func bakeTarget(flags *pflag.FlagSet, context string) (map[string]any, error) {
	target := map[string]any{"context": context}
	for name, field := range targetFields {
		values, err := flags.GetStringArray(name)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 {
			target[field] = values
		}
	}
	for name, field := range map[string]string{"build-arg": "args", "build-context": "contexts", "label": "labels"} {
		values, err := flags.GetStringArray(name)
		if err != nil {
			return nil, err
		}
		target[field] = pairs(values)
	}
	for name, field := range map[string]string{"target": "target", "file": "dockerfile", "network": "network"} {
		value, err := flags.GetString(name)
		if err != nil {
			return nil, err
		}
		if flag := flags.Lookup(name); !flag.Changed {
			continue
		}
		if name == "file" {
			if value, err = filepath.Abs(value); err != nil {
				return nil, err
			}
		}
		target[field] = value
	}
	for name, output := range map[string]string{"push": "type=registry", "load": "type=docker"} {
		if on, err := flags.GetBool(name); err != nil {
			return nil, err
		} else if on {
			outputs, _ := target["output"].([]string)
			target["output"] = append(outputs, output)
		}
	}
	return target, nil
}

// pairs are name=value by name; a name alone has its value from the environment,
// as build takes it.
func pairs(values []string) map[string]string {
	out := map[string]string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		out[name] = value
	}
	return out
}
