package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"scout/config"
)

// appClasses are the job classes of an app, by name.
type appClasses map[string]config.Class

var className = regexp.MustCompile(`^[A-Z]\w*(::[A-Z]\w*)*$`)

// find returns the YAML of a worker. Its class has the name of the topic or, if there
// is none, the longest part of that name: OrderWorker for shop-orders. Of parts of
// equal length, the last wins, because the last words usually name the subject.
func (c appClasses) find(name string) (worker string, ok bool) {
	words := wordsOf(name)
	for n := len(words); n > 0; n-- {
		for start := len(words) - n; start >= 0; start-- {
			if class := c.named(words[start : start+n]); class != "" {
				return c.worker(class), true
			}
		}
	}
	return "", false
}

// classEnd matches the usual endings of the names of job classes.
var classEnd = regexp.MustCompile(`(Worker|Job|Consumer|Handler|Processor)$`)

// named returns the shortest name of a class that consists of the words, with or
// without its modules, or "".
func (c appClasses) named(words []string) string {
	var found []string
	for class := range c {
		full := classEnd.ReplaceAllString(class, "")
		last := full[strings.LastIndexByte(full, ':')+1:]
		if className.MatchString(class) && (slices.Equal(wordsOf(full), words) || slices.Equal(wordsOf(last), words)) {
			found = append(found, class)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
}

// worker returns the YAML of a class, with the options that its route requires.
func (c appClasses) worker(class string) string {
	fields := []string{"class: " + class}
	if of := c[class]; of.ActiveJob && of.Queue == "" {
		fields = append(fields, "queue: default")
	}
	if c[class].MinArgs == 2 {
		fields = append(fields, "args: [message, metadata]")
	}
	if len(fields) == 1 {
		return class
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// wordEnd matches the end of a word in a name such as shop-orders or ShopOrders.
var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// wordsOf returns the words of a name in lower case and in the singular.
func wordsOf(name string) []string {
	name = wordEnd.ReplaceAllString(strings.TrimSuffix(name, ".fifo"), "$1 $2")
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for i, word := range words {
		words[i] = singular(word)
	}
	return words
}

// singular returns the singular of most regular English nouns.
func singular(word string) string {
	base, isPlural := strings.CutSuffix(word, "s")
	switch {
	case len(word) < 4 || !isPlural || strings.ContainsAny(base[len(base)-1:], "sui"):
		return word
	case strings.HasSuffix(base, "ie"):
		return strings.TrimSuffix(base, "ie") + "y"
	case regexp.MustCompile(`(ss|sh|ch|x|z)e$`).MatchString(base):
		return strings.TrimSuffix(base, "e")
	}
	return base
}

// guessClass returns a likely class name for a topic.
func guessClass(name string) string {
	var b strings.Builder
	for _, word := range wordsOf(name) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	class := b.String() + "Worker"
	if !className.MatchString(class) {
		return "Topic" + class
	}
	return class
}
