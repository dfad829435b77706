// Command release builds all files of a release into the folder dist:
//
//	go run ./packaging/release v2.0.0
//
// The same commit and the same Go make the same bytes, in any folder and on any
// machine: all times are SOURCE_DATE_EPOCH or, without that, of the last commit.
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
		log.Fatal("say which version: make release VERSION=v2.0.0")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// A release is what all platforms have in common.
type release struct {
	version string    // with its v
	time    time.Time // of all files
	shared  []file    // not built for a platform
}

// A platform is what a binary is built for, and where its files are staged:
// those of its archive, in a folder of the archive's name.
type platform struct {
	os, arch string
	name     string
	stage    string
}

// A file is one in the making.
type file struct {
	name string
	data []byte
}

var semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func run(version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("%q is no version of a release: make release VERSION=v2.0.0", version)
	}
	now, err := sourceDate()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	r := &release{version: version, time: now}
	var platforms []platform
	for _, on := range []string{"linux", "darwin"} {
		for _, arch := range []string{"amd64", "arm64"} {
			name := fmt.Sprintf("scout_%s_%s_%s", version[1:], on, arch)
			platforms = append(platforms, platform{on, arch, name, filepath.Join(dist, "stage", name)})
		}
	}
	for _, p := range platforms {
		if err := r.build(p); err != nil {
			return err
		}
		if p.os == runtime.GOOS && p.arch == runtime.GOARCH {
			if r.shared, err = document(filepath.Join(p.stage, "scout")); err != nil {
				return err
			}
		}
	}
	if r.shared == nil {
		return fmt.Errorf("releases are not made on %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	for _, p := range platforms {
		if err := r.pack(p); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(dist, "stage")); err != nil {
		return err
	}
	return sumUp()
}

// sourceDate returns the time that is written into all files.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := command(nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("no commit to take the time from, and no SOURCE_DATE_EPOCH: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// build builds the binary as the Makefile does. It says itself what could
// otherwise come from the machine; and as a source archive has no commit that
// could be written into the binary, a clone writes none either.
func (r *release) build(p platform) error {
	env := []string{"GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFLAGS=-buildvcs=false"}
	_, err := command(env, "make", "scout", "VERSION="+r.version, "BIN="+p.stage)
	return err
}

// document returns what the binary says about itself, the licenses, and what is
// there for people to copy.
func document(binary string) ([]file, error) {
	page, err := command(nil, binary, "man")
	if err != nil {
		return nil, err
	}
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = z.Write(page) // a bytes.Buffer takes everything
	_ = z.Close()
	files := []file{{"man/scout.1.gz", zipped.Bytes()}}
	for shell, name := range map[string]string{"bash": "scout.bash", "zsh": "_scout", "fish": "scout.fish"} {
		script, err := command(nil, binary, "completion", shell)
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
	for _, name := range []string{
		"LICENSE", "README.md", "CHANGELOG.md", "packaging/scout.yml.example",
		"packaging/monitoring/alerts.yml", "packaging/monitoring/scout-dashboard.json",
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{strings.TrimPrefix(name, "packaging/"), data})
	}
	return files, nil
}

// pack makes the archive, the packages and the SBOM of a platform.
func (r *release) pack(p platform) error {
	for _, f := range r.shared {
		path := filepath.Join(p.stage, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return err
		}
	}
	if err := archive(p.stage, filepath.Join(dist, p.name+".tar.gz"), r.time); err != nil {
		return err
	}
	bom, err := sbom(filepath.Join(p.stage, "scout"), r.version, r.time)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dist, p.name+".cdx.json"), bom, 0o644); err != nil {
		return err
	}
	if p.os != "linux" {
		return nil
	}
	env := []string{"PACKAGE_ARCH=" + p.arch, "VERSION=" + r.version, "STAGE=" + p.stage, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix())}
	for _, kind := range []string{"deb", "rpm"} {
		if _, err := command(env, "go", "tool", "-modfile=tools/nfpm/go.mod", "nfpm", "package", "-f", "packaging/nfpm.yaml", "-p", kind, "-t", dist); err != nil {
			return err
		}
	}
	return nil
}

// sumUp writes the checksums, in the form of sha256sum -c.
func sumUp() error {
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

// command runs a program with more environment, and returns what it prints.
func command(env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.Bytes(), nil
}
