package config

import "strings"

// closest returns the candidate that key was probably meant to be, or "" if none
// has at most about one typo in three letters. Upper and lower case are the same.
func closest(key string, candidates []string) string {
	best, limit := "", max(1, len(key)/3)
	for _, c := range candidates {
		if max(len(key)-len(c), len(c)-len(key)) > limit {
			continue // the distance is at least that
		}
		if d := distance(strings.ToLower(key), strings.ToLower(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the number of bytes to add, remove, change or swap with a neighbour
// to turn a into b (optimal string alignment).
func distance(a, b string) int {
	var before, above []int // the rows for a[:i-2] and a[:i-1]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(above[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
