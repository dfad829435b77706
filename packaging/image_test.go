// Package packaging tests the files of this directory.
package packaging

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"scout/config"
)

// TestImage checks that the Dockerfile builds an image of the Makefile's binary and
// CA certificates that does not run as root.
func TestImage(t *testing.T) {
	stages := dockerfile(t)
	if len(stages) != 2 {
		t.Fatalf("%d stages", len(stages))
	}
	build, image := stages[0], stages[1]
	for _, want := range []string{
		"FROM --platform=$BUILDPLATFORM golang:" + goVersion(t) + " AS build", // cross-compiles instead of emulating
		"ARG TARGETARCH VERSION=dev",
		"RUN GOOS=linux GOARCH=$TARGETARCH GOFLAGS=-buildvcs=false make scout VERSION=$VERSION",
	} {
		if !slices.Contains(build, want) {
			t.Errorf("the first stage lacks %s", want)
		}
	}
	for _, want := range []string{
		"FROM scratch",
		"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt", // where Go looks
		"COPY --from=build /src/bin/scout /usr/bin/scout",
		`ENTRYPOINT ["/usr/bin/scout"]`, // without a shell, which would not forward signals
	} {
		if !slices.Contains(image, want) {
			t.Errorf("the image lacks %s", want)
		}
	}
	isUser := func(line string) bool { return regexp.MustCompile(`^USER [1-9]\d*:[1-9]\d*$`).MatchString(line) }
	if !slices.ContainsFunc(image, isUser) {
		t.Error("the image's user is root or not numeric")
	}
}

// dockerfile returns the instructions of each stage.
func dockerfile(t *testing.T) (stages [][]string) {
	t.Helper()
	for line := range strings.SplitSeq(read(t, "../Dockerfile"), "\n") {
		if strings.HasPrefix(line, "FROM ") {
			stages = append(stages, nil)
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			stages[len(stages)-1] = append(stages[len(stages)-1], line)
		}
	}
	return stages
}

// goVersion returns the minor version of Go in go.mod.
func goVersion(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if m == nil {
		t.Fatal("go.mod has no Go version")
	}
	return m[1]
}

func TestExampleIsValid(t *testing.T) {
	if _, err := (config.Loader{NeedQueue: true}).Load(t.Context(), "scout.yml.example"); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
