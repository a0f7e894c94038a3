package main

// sizes are the sizes of the layers of images in the registry, by digest.
func (d *demo) sizes(refs ...string) map[string]int64 {
	sizes := map[string]int64{}
	for _, ref := range refs {
		if !d.bed.Exists(d.t, ref) {
			continue
		}
		for _, l := range d.bed.Image(d.t, ref, "").Manifest.Layers {
			sizes[l.Digest.String()] = l.Size
		}
	}
	return sizes
}

// amount is an amount of layers.
type amount struct {
	layers int
	bytes  int64
}

// add counts the layers that are among the digests; configs are not.
func (a *amount) add(digests []string, sizes map[string]int64) {
	for _, digest := range digests {
		if size, ok := sizes[digest]; ok {
			a.layers++
			a.bytes += size
		}
	}
}
