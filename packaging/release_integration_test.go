//go:build integration

package packaging

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestRelease builds a release twice, in two directories, and installs it.
func TestRelease(t *testing.T) {
	env.Program(t, "git", "git")
	first, second := buildRelease(t), buildRelease(t)
	t.Run("same bytes", func(t *testing.T) {
		names := list(t, first)
		if len(names) != 18 || fmt.Sprint(names) != fmt.Sprint(list(t, second)) {
			t.Fatalf("the releases are\n%v\n%v", names, list(t, second))
		}
		for _, name := range names {
			if read(t, filepath.Join(first, name)) != read(t, filepath.Join(second, name)) {
				t.Errorf("%s differs", name)
			}
		}
	})
	t.Run("checksums", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(read(t, filepath.Join(first, "SHA256SUMS"))), "\n")
		if len(lines) != 17 {
			t.Errorf("%d checksums", len(lines))
		}
		for _, line := range lines {
			sum, name, _ := strings.Cut(line, "  ")
			if got := fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, filepath.Join(first, name))))); got != sum {
				t.Errorf("%s has %s", name, got)
			}
		}
	})
	t.Run("sbom", func(t *testing.T) {
		text := read(t, filepath.Join(first, "scout_2.0.0-rc.1_linux_amd64.cdx.json"))
		if !json.Valid([]byte(text)) || !strings.Contains(text, `"pkg:golang/github.com/gomodule/redigo@v`) {
			t.Errorf("no SBOM:\n%s", text)
		}
	})
	t.Run("function", func(t *testing.T) { testFunctionZips(t, first) })
	t.Run("stack", func(t *testing.T) { testStack(t, filepath.Join(first, "scout_2.0.0-rc.1_sam.tar.gz")) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, filepath.Join(first, "scout-2.0.0~rc.1-1.x86_64.rpm")) })
	t.Run("deb", func(t *testing.T) {
		testDeb(t, filepath.Join(first, "scout_2.0.0~rc.1_"+runtime.GOARCH+".deb"))
	})
}

// buildRelease builds a release in a copy of the project and returns its
// directory.
func buildRelease(t *testing.T) string {
	t.Helper()
	dir := env.CopyProject(t)
	cmd := exec.CommandContext(t.Context(), "make", "release", "VERSION=v2.0.0-rc.1")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, out)
	}
	return filepath.Join(dir, "dist")
}

// machines has the machine of each architecture of Lambda.
var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}

// testFunctionZips checks that Lambda can run the zips.
func testFunctionZips(t *testing.T, dist string) {
	for architecture, machine := range machines {
		z, err := zip.OpenReader(filepath.Join(dist, "scout_2.0.0-rc.1_lambda_"+architecture+".zip"))
		fatal(t, err)
		defer z.Close()
		files := map[string][]byte{}
		for _, f := range z.File {
			r, err := f.Open()
			fatal(t, err)
			files[f.Name], err = io.ReadAll(r)
			fatal(t, err)
			if f.Name == "bootstrap" && f.Mode() != 0o755 {
				t.Errorf("bootstrap has the mode %v", f.Mode())
			}
		}
		checkFiles(t, files, machine, "LICENSE", "THIRD_PARTY_LICENSES", "bootstrap")
	}
}

// checkFiles checks the names of a zip's files, and the machine for which its binary is
// built.
func checkFiles(t *testing.T, files map[string][]byte, machine elf.Machine, want ...string) {
	t.Helper()
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Errorf("the zip has the files %v", names)
	}
	f, err := elf.NewFile(bytes.NewReader(files["bootstrap"]))
	fatal(t, err)
	if f.Machine != machine {
		t.Errorf("the function is built for %v, want %v", f.Machine, machine)
	}
}

// testStack deploys the archive with sam deploy alone, for both architectures, and
// checks that a changed parameter uploads another zip, because SAM publishes a
// version only then.
func testStack(t *testing.T, archive string) {
	dir, uploads := t.TempDir(), env.NewUploads(t)
	if out, err := exec.Command("tar", "-xzf", archive, "--strip-components", "1", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	deploy := func(machine elf.Machine, args ...string) {
		t.Helper()
		output, functions := uploads.Deploy(t, dir, append([]string{"--config-env", "shop-staging"}, args...)...)
		if machine == elf.EM_NONE != (len(functions) == 0) || len(functions) > 1 {
			t.Fatalf("sam deploy uploaded %d functions:\n%s", len(functions), output)
		}
		if len(functions) == 1 {
			checkFiles(t, functions[0], machine, "LICENSE", "THIRD_PARTY_LICENSES", "bootstrap",
				"deploy/shop-production.yaml", "deploy/shop-staging.yaml", "samconfig.toml", "template.yaml")
		}
	}
	deploy(elf.EM_AARCH64)
	deploy(elf.EM_NONE) // nothing has changed
	parameters := filepath.Join(dir, "deploy", "shop-staging.yaml")
	for _, line := range []string{"MemorySize: 512", "Architecture: x86_64"} {
		fatal(t, os.WriteFile(parameters, []byte(read(t, parameters)+line+"\n"), 0o600))
		deploy(map[bool]elf.Machine{true: elf.EM_X86_64, false: elf.EM_AARCH64}[line == "Architecture: x86_64"])
	}
	if out, err := env.Command(t, dir, env.SAM(t), "build", "--config-env", "shop-staging").CombinedOutput(); err == nil {
		t.Errorf("sam build built a function without its source:\n%s", out)
	}
}

// testRPM checks the package with rpm.
func testRPM(t *testing.T, file string) {
	rpm := env.Program(t, "rpm", "Debian's rpm")
	out, err := exec.Command(rpm, "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]%{BUILDHOST}", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"drwx------ /etc/scout\n", "-rwxr-xr-x /usr/bin/scout\n", "/usr/lib/systemd/system/scout@.service\n", "\nlocalhost"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the package lacks %q:\n%s", want, out)
		}
	}
	if out, err := exec.Command(rpm, "-K", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestImageBuild runs the build command of the Dockerfile with only the files that
// .dockerignore lets through, and checks that the binary is static.
func TestImageBuild(t *testing.T) {
	env.Program(t, "git", "git")
	project, context := env.CopyProject(t), t.TempDir()
	for line := range strings.SplitSeq(read(t, "../.dockerignore"), "\n") {
		if name, ok := strings.CutPrefix(line, "!"); ok {
			_ = filepath.Walk(filepath.Join(project, name), func(path string, info os.FileInfo, err error) error {
				rest, _ := filepath.Rel(project, path)
				if err == nil && !info.IsDir() && !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "/testdata/") {
					env.CopyFile(t, path, filepath.Join(context, rest))
				}
				return err
			})
		}
	}
	var build string
	for _, line := range dockerfile(t)[0] {
		if command, ok := strings.CutPrefix(line, "RUN GOOS"); ok {
			build = "GOOS" + command
		}
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", build)
		cmd.Dir, cmd.Env = context, append(os.Environ(), "TARGETARCH="+arch, "VERSION=v2.0.0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		f, err := elf.Open(filepath.Join(context, "bin", "scout"))
		if err != nil {
			t.Fatal(err)
		}
		libraries, _ := f.ImportedLibraries()
		if f.Machine != machine || len(libraries) > 0 {
			t.Errorf("the binary for %s is built for %v and needs %v", arch, f.Machine, libraries)
		}
		_ = f.Close()
	}
}
