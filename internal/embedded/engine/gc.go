//go:build !no_embedded

package engine

import (
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/disk"
)

// What the cache may take where buildkitd.toml does not say: BuildKit's own
// default goes up to 100 GB, which is for a machine that is there to build.
const (
	reservedSpace = 2e9
	maxUsedSpace  = 20e9
	minFreePart   = 10 // per cent of the disk
)

// gcPolicy says what garbage collection may leave, by BuildKit's own rules.
func gcPolicy(cfg config.GCConfig, root string) []client.PruneInfo {
	if cfg.GC != nil && !*cfg.GC {
		return nil
	}
	// Without the disk's size the limits in per cent are a small fixed size.
	stat, _ := disk.GetDiskStat(root)
	rules := cfg.GCPolicy
	if len(rules) == 0 {
		if cfg.IsUnset() {
			cfg.GCReservedSpace = config.DiskSpace{Bytes: reservedSpace}
			cfg.GCMaxUsedSpace = config.DiskSpace{Bytes: maxUsedSpace}
			cfg.GCMinFreeSpace = config.DiskSpace{Percentage: minFreePart}
		}
		rules = config.DefaultGCPolicy(cfg, stat)
	}
	var policy []client.PruneInfo
	for _, rule := range rules {
		policy = append(policy, client.PruneInfo{
			Filter:        rule.Filters,
			All:           rule.All,
			KeepDuration:  rule.KeepDuration.Duration,
			ReservedSpace: rule.ReservedSpace.AsBytes(stat),
			MaxUsedSpace:  rule.MaxUsedSpace.AsBytes(stat),
			MinFreeSpace:  rule.MinFreeSpace.AsBytes(stat),
		})
	}
	return policy
}
