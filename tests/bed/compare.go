package bed

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Compare gives the differences between the image that stock buildx makes and
// the one that relink makes from the same input, by the project's law: every
// entry of the tree, the config and the history are equal. Times of
// directories, of the history and of the image itself may differ, and so may
// times that both took from the clock; annotations of its own are relink's.
func Compare(stock, relink Image) []string {
	var diffs []string
	diffs = append(diffs, compareTrees(stock, relink)...)
	diffs = append(diffs, compareConfigs(stock.RawConfig, relink.RawConfig)...)
	diffs = append(diffs, checkLayers(relink)...)
	return append(diffs, compareAnnotations(stock.Manifest.Annotations, relink.Manifest.Annotations)...)
}

// ours tells the annotations that relink adds, which say of an image what its
// base is and what is known of it.
func ours(annotation string) bool {
	return strings.HasPrefix(annotation, "com.github.docker-relink.") ||
		strings.HasPrefix(annotation, "org.opencontainers.image.base.")
}

func compareAnnotations(stock, relink map[string]string) []string {
	kept := maps.Clone(relink)
	maps.DeleteFunc(kept, func(name, _ string) bool {
		_, wanted := stock[name]
		return ours(name) && !wanted
	})
	if maps.Equal(stock, kept) {
		return nil
	}
	return []string{fmt.Sprintf("annotations: %v, want %v", kept, stock)}
}

// CompareLayers gives the layers of relink's image that carry files which the
// same layer of stock's does not. Such an image may have the right tree and
// still not be worth its name: its layers repeat what its base has.
func CompareLayers(stock, relink Image) []string {
	var diffs []string
	for i := range min(len(stock.LayerPaths), len(relink.LayerPaths)) {
		var extra []string
		for _, path := range relink.LayerPaths[i] {
			if _, found := slices.BinarySearch(stock.LayerPaths[i], path); !found {
				extra = append(extra, path)
			}
		}
		if len(extra) > 0 {
			diffs = append(diffs, fmt.Sprintf("layer %d: %d files that stock's has not, first %s", i, len(extra), extra[0]))
		}
	}
	return diffs
}

func compareTrees(stock, relink Image) []string {
	var diffs []string
	names := slices.AppendSeq(slices.Collect(maps.Keys(stock.Tree)), maps.Keys(relink.Tree))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		want, wanted := stock.Tree[name]
		got, there := relink.Tree[name]
		switch {
		case !there:
			diffs = append(diffs, fmt.Sprintf("%s: missing, want %s", name, want))
		case !wanted:
			diffs = append(diffs, fmt.Sprintf("%s: %s, want nothing", name, got))
		default:
			fromClock := inBuild(stock, want) && inBuild(relink, got)
			diffs = append(diffs, compareEntries(name, want, got, fromClock)...)
		}
	}
	if !slices.Equal(stock.Anomalies, relink.Anomalies) {
		diffs = append(diffs, fmt.Sprintf("anomalies: %q, want %q", relink.Anomalies, stock.Anomalies))
	}
	return diffs
}

func inBuild(image Image, entry Entry) bool {
	return !image.ClockFrom.IsZero() && !entry.ModTime.Before(image.ClockFrom)
}

func compareEntries(name string, want, got Entry, anyTime bool) []string {
	if want.Type != got.Type {
		return []string{fmt.Sprintf("%s: %s, want %s", name, got, want)}
	}
	var diffs []string
	differs := func(what string, want, got any) {
		if !reflect.DeepEqual(want, got) {
			diffs = append(diffs, fmt.Sprintf("%s: %s %v, want %v", name, what, got, want))
		}
	}
	differs("mode", fmt.Sprintf("%04o", want.Mode), fmt.Sprintf("%04o", got.Mode))
	differs("owner", fmt.Sprintf("%d:%d", want.UID, want.GID), fmt.Sprintf("%d:%d", got.UID, got.GID))
	differs("size", want.Size, got.Size)
	differs("content", want.SHA256, got.SHA256)
	differs("link target", want.Linkname, got.Linkname)
	differs("hard link group", want.HardlinkGroup, got.HardlinkGroup)
	differs("device", want.Dev, got.Dev)
	if !maps.Equal(want.Xattrs, got.Xattrs) {
		differs("xattrs", want.Xattrs, got.Xattrs)
	}
	if want.Type != "dir" && !anyTime {
		differs("time", want.ModTime, got.ModTime)
	}
	return diffs
}

// compareConfigs compares the text, so that no field is forgotten.
func compareConfigs(stock, relink []byte) []string {
	want, err := comparableConfig(stock)
	if err != nil {
		return []string{fmt.Sprintf("config of stock: %v", err)}
	}
	got, err := comparableConfig(relink)
	if err != nil {
		return []string{fmt.Sprintf("config of relink: %v", err)}
	}
	return compareJSON("config", want, got)
}

// comparableConfig parses a config and leaves out what differs between two
// builds of the same image: times, the DiffIDs, which hold the times of
// directories and for which the trees are compared, and the inline cache, which
// tells how the image was built.
func comparableConfig(raw []byte) (map[string]any, error) {
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	delete(config, "created")
	delete(config, "rootfs")
	delete(config, "moby.buildkit.cache.v0")
	history, _ := config["history"].([]any)
	for _, entry := range history {
		if entry, ok := entry.(map[string]any); ok {
			delete(entry, "created")
		}
	}
	return config, nil
}

// compareJSON names the innermost places where two documents differ.
func compareJSON(place string, want, got any) []string {
	if reflect.DeepEqual(want, got) {
		return nil
	}
	wantMap, ok1 := want.(map[string]any)
	gotMap, ok2 := got.(map[string]any)
	if ok1 && ok2 {
		var diffs []string
		keys := slices.AppendSeq(slices.Collect(maps.Keys(wantMap)), maps.Keys(gotMap))
		slices.Sort(keys)
		for _, key := range slices.Compact(keys) {
			diffs = append(diffs, compareJSON(place+"."+key, wantMap[key], gotMap[key])...)
		}
		return diffs
	}
	wantList, ok1 := want.([]any)
	gotList, ok2 := got.([]any)
	if ok1 && ok2 && len(wantList) == len(gotList) {
		var diffs []string
		for i := range wantList {
			diffs = append(diffs, compareJSON(fmt.Sprintf("%s[%d]", place, i), wantList[i], gotList[i])...)
		}
		return diffs
	}
	return []string{fmt.Sprintf("%s: %s, want %s", place, asJSON(got), asJSON(want))}
}

func asJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// checkLayers holds an image to the rule that each entry of its history that
// is not empty stands for one layer.
func checkLayers(image Image) []string {
	full := 0
	var entries []string
	for _, entry := range image.Config.History {
		if !entry.EmptyLayer {
			full++
			entries = append(entries, entry.CreatedBy)
		}
	}
	layers, diffIDs := len(image.Manifest.Layers), len(image.Config.RootFS.DiffIDs)
	if full == layers && layers == diffIDs {
		return nil
	}
	return []string{fmt.Sprintf("layers: %d layers, %d DiffIDs and %d entries in the history:\n\t%s",
		layers, diffIDs, full, strings.Join(entries, "\n\t"))}
}
