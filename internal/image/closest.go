package image

import "strings"

// Closest is the known name that is most like the one that was written, "" when
// none is so like it that it can have been meant.
func Closest(written string, known []string) string {
	best, distance := "", len(written)/3+1
	for _, name := range known {
		if d := edits(strings.ToLower(written), strings.ToLower(name)); d <= distance && d < max(len(name), 1) {
			best, distance = name, d-1
		}
	}
	return best
}

// edits is the number of letters to change, add or leave out to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
