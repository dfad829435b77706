package env

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Uploads are the files that sam deploy uploads to an S3 bucket, in moto.
type Uploads struct {
	env  []string
	seen map[string]bool // by key
}

// NewUploads starts moto and creates the bucket.
func NewUploads(t testing.TB) *Uploads {
	t.Helper()
	u := &Uploads{[]string{"AWS_ENDPOINT_URL=" + Moto(t)}, map[string]bool{}}
	u.aws(t, "s3api", "create-bucket", "--bucket", "artifacts")
	return u
}

// Deploy runs sam deploy in a directory. It returns its output and the files of each
// uploaded function by name, without functions that were uploaded before. It ends when
// SAM creates the stack, because moto cannot create one from a SAM template.
func (u *Uploads) Deploy(t testing.TB, dir string, args ...string) (output string, functions []map[string][]byte) {
	t.Helper()
	cmd := Command(t, dir, SAM(t), append([]string{"deploy", "--no-resolve-s3", "--s3-bucket", "artifacts", "--no-confirm-changeset"}, args...)...)
	cmd.Env = append(cmd.Env, u.env...)
	out, _ := cmd.CombinedOutput()
	if !bytes.Contains(out, []byte("Initiating deployment")) {
		t.Fatalf("sam deploy did not start the deployment:\n%s", out)
	}
	for key := range strings.FieldsSeq(u.aws(t, "s3api", "list-objects-v2", "--bucket", "artifacts", "--query", "Contents[].Key", "--output", "text")) {
		if !strings.HasSuffix(key, ".template") && !u.seen[key] {
			u.seen[key] = true
			functions = append(functions, u.unzip(t, key))
		}
	}
	return string(out), functions
}

// unzip returns the files of an uploaded zip, by name.
func (u *Uploads) unzip(t testing.TB, key string) map[string][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "object")
	u.aws(t, "s3", "cp", "s3://artifacts/"+key, path)
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if f.Name == "bootstrap" && f.Mode().Perm()&0o111 == 0 {
			t.Errorf("Lambda cannot run bootstrap, whose mode is %v", f.Mode())
		}
	}
	return files
}

func (u *Uploads) aws(t testing.TB, args ...string) string {
	t.Helper()
	cmd := Command(t, "", AWSCLI(t), args...)
	cmd.Env = append(cmd.Env, u.env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("aws %v: %v", args, err)
	}
	return string(out)
}

// Command returns a command in a directory, by default that of the project, with invalid
// AWS credentials.
func Command(t testing.TB, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if dir == "" {
		cmd.Dir = projectRoot(t)
	}
	cmd.Env = append(os.Environ(),
		"AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"SAM_CLI_TELEMETRY=0")
	return cmd
}

// CopyProject copies all files of the project that git tracks or does not ignore to
// a temporary directory, and returns it.
func CopyProject(t testing.TB) string {
	t.Helper()
	Program(t, "git", "git")
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = projectRoot(t)
	names, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		CopyFile(t, filepath.Join(cmd.Dir, name), filepath.Join(dir, name))
	}
	return dir
}

// CopyFile copies a file with its mode. A file that does not exist is skipped.
func CopyFile(t testing.TB, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil || info.IsDir() {
		return
	}
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, info.Mode())
	}
	if err != nil {
		t.Fatal(err)
	}
}
