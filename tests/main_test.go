// Package tests holds relink to its law on real engines: what it builds equals
// what stock buildx builds from the same input.
package tests

import (
	"os"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

func TestMain(m *testing.M) { os.Exit(bed.Main(m)) }
