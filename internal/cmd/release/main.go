// Command release builds all files of a release in the directory dist:
//
//	go run ./internal/cmd/release v2.0.0
//
// The same commit and version of Go produce the same bytes in any directory and
// on any machine. All timestamps are SOURCE_DATE_EPOCH or, if it is unset, the time
// of the last commit.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const dist = "dist"

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	if len(os.Args) != 2 {
		log.Fatal("no version given; use make release VERSION=v2.0.0")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// A release holds what all platforms have in common.
type release struct {
	version string    // with the leading v
	time    time.Time // of all files
	shared  []file    // the same for every platform
}

// A platform is an operating system and architecture to build for.
type platform struct {
	os, arch string
	name     string // of the archive, without its extension
	stage    string // the directory of the files in the archive
}

// A file is a file to add to the archive of each platform.
type file struct {
	name string
	data []byte
}

var semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func run(version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("%q is not a release version; use make release VERSION=v2.0.0", version)
	}
	now, err := sourceDate()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	r := &release{version: version, time: now}
	platforms := platforms(version)
	for _, p := range platforms {
		log.Printf("building scout for %s/%s", p.os, p.arch)
		if err := r.build(p); err != nil {
			return err
		}
		if p.os == runtime.GOOS && p.arch == runtime.GOARCH {
			if r.shared, err = buildSharedFiles(filepath.Join(p.stage, "scout")); err != nil {
				return err
			}
		}
	}
	if r.shared == nil {
		return fmt.Errorf("cannot build a release on %s/%s, because it must run the binary; use one of the platforms of the release", runtime.GOOS, runtime.GOARCH)
	}
	for _, p := range platforms {
		log.Printf("packing %s", p.name)
		if err := r.writePackages(p); err != nil {
			return err
		}
	}
	log.Print("building and packing the Lambda function")
	if err := r.writeStack(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dist, "stage")); err != nil {
		return err
	}
	if err := writeChecksums(); err != nil {
		return err
	}
	log.Printf("the release is in %s; SHA256SUMS lists its files", dist)
	return nil
}

func platforms(version string) (all []platform) {
	for _, on := range []string{"linux", "darwin"} {
		for _, arch := range []string{"amd64", "arm64"} {
			name := fmt.Sprintf("scout_%s_%s_%s", version[1:], on, arch)
			all = append(all, platform{on, arch, name, filepath.Join(dist, "stage", name)})
		}
	}
	return all
}

// sourceDate returns the timestamp for all files.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := runCommand(nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("reading the time of the last commit: %w; set SOURCE_DATE_EPOCH instead", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("parsing SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// build builds the binary with the Makefile. It sets everything that could
// otherwise depend on the machine. It disables VCS stamping because a source
// archive has no commit to stamp.
func (r *release) build(p platform) error {
	_, err := runCommand(append(buildEnv, "GOOS="+p.os, "GOARCH="+p.arch), "make", "scout", "VERSION="+r.version, "BIN="+p.stage)
	return err
}

var buildEnv = []string{"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFLAGS=-buildvcs=false"}

// buildSharedFiles returns the manual page and the shell completions, which the
// binary prints, the licenses, and the documents and examples of the repository.
func buildSharedFiles(binary string) ([]file, error) {
	page, err := runCommand(nil, binary, "man")
	if err != nil {
		return nil, err
	}
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = z.Write(page) // writing to a bytes.Buffer cannot fail
	_ = z.Close()
	files := []file{{"man/scout.1.gz", zipped.Bytes()}}
	for shell, name := range map[string]string{"bash": "scout.bash", "zsh": "_scout", "fish": "scout.fish"} {
		script, err := runCommand(nil, binary, "completion", shell)
		if err != nil {
			return nil, err
		}
		files = append(files, file{"completions/" + name, script})
	}
	licenses, err := thirdPartyLicenses(binary)
	if err != nil {
		return nil, err
	}
	files = append(files, file{"THIRD_PARTY_LICENSES", licenses})
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		return nil, err
	}
	for _, name := range append(pages,
		"LICENSE", "README.md", "CHANGELOG.md", "packaging/scout.yml.example", "packaging/queue.yaml",
		"packaging/monitoring/alerts.yml", "packaging/monitoring/scout-dashboard.json",
	) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{strings.TrimPrefix(name, "packaging/"), data})
	}
	return files, nil
}

// writePackages writes the archive, the packages and the SBOM of a platform.
func (r *release) writePackages(p platform) error {
	if err := writeFiles(p.stage, r.shared); err != nil {
		return err
	}
	if err := writeArchive(p.stage, filepath.Join(dist, p.name+".tar.gz"), r.time); err != nil {
		return err
	}
	if err := r.writeSBOM(filepath.Join(p.stage, "scout"), p.name); err != nil {
		return err
	}
	if p.os != "linux" {
		return nil
	}
	env := []string{"PACKAGE_ARCH=" + p.arch, "VERSION=" + r.version, "STAGE=" + p.stage, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix())}
	for _, kind := range []string{"deb", "rpm"} {
		if _, err := runCommand(env, "go", "tool", "-modfile=tools/nfpm/go.mod", "nfpm", "package", "-f", "packaging/nfpm.yaml", "-p", kind, "-t", dist); err != nil {
			return err
		}
	}
	return nil
}

func writeFiles(dir string, files []file) error {
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeSBOM writes the SBOM of a binary to dist/NAME.cdx.json.
func (r *release) writeSBOM(binary, name string) error {
	sbom, err := buildSBOM(binary, r.version, r.time)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dist, name+".cdx.json"), sbom, 0o644)
}

// writeChecksums writes SHA256SUMS in the format of sha256sum -c.
func writeChecksums() error {
	entries, err := os.ReadDir(dist) // sorted
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dist, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), entry.Name())
	}
	return os.WriteFile(filepath.Join(dist, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// runCommand runs a program with env added to the environment and returns its
// standard output.
func runCommand(env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.Bytes(), nil
}
