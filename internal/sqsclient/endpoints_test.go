package sqsclient

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scout/config"
)

// secret is in every token and key that is for AWS's services of credentials.
const secret = "hunter2"

// A party stands for a service of AWS. It records what it receives.
type party struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

func newParty(t *testing.T, respond http.HandlerFunc) *party {
	t.Helper()
	p := &party{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.requests = append(p.requests, fmt.Sprint(r.Method, " ", r.Host, r.URL, " ", r.Header, " ", string(body)))
		p.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		respond(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *party) received() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.requests, "\n")
}

// respondSTS gives credentials for a role.
func respondSTS(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	action := r.PostForm.Get("Action")
	fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`+
		`<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%sResult></%sResponse>`, action, action, action, action)
}

// respondSSO gives credentials for a role, and tokens.
func respondSSO(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		fmt.Fprint(w, `{"accessToken":"`+secret+`","expiresIn":3600,"tokenType":"Bearer"}`)
		return
	}
	fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"ASIAROLE","secretAccessKey":"s","sessionToken":"t","expiration":%d}}`, time.Now().Add(time.Hour).UnixMilli())
}

// respondQueue is SQS and Parameter Store.
func respondQueue(w http.ResponseWriter, r *http.Request) {
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasPrefix(target, "AmazonSSM."):
		fmt.Fprint(w, `{"Parameters":[{"Name":"/redis","Value":"redis://localhost:6379/0"}]}`)
	case target == "AmazonSQS.GetQueueUrl":
		fmt.Fprint(w, `{"QueueUrl":"http://sqs/1/app"}`)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// A login is a way to get credentials from AWS.
type login struct {
	env     []string
	files   map[string]string // in the home directory
	host    string            // that receives the secret
	call    string            // that it receives
	respond http.HandlerFunc  // how it responds
	redis   string            // the configured Redis, if it matters
}

func logins(t *testing.T) map[string]login {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, secret)
	cache := func(name, expires string) map[string]string {
		sum := sha1.Sum([]byte(name))
		return map[string]string{".aws/sso/cache/" + hex.EncodeToString(sum[:]) + ".json": fmt.Sprintf(
			`{"accessToken":%q,"expiresAt":%q,"refreshToken":%q,"clientId":"c","clientSecret":%q}`, secret, expires, secret, secret)}
	}
	profile := func(files map[string]string, text string) map[string]string {
		files[".aws/config"] = text
		return files
	}
	const account = "sso_account_id = 123456789012\nsso_role_name = r\n"
	const session = "[profile p]\nsso_session = s\n" + account + "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://start\n"
	return map[string]login{
		"web identity": {
			env:  []string{"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE=" + token},
			host: "sts.eu-west-1.amazonaws.com", call: "Action=AssumeRoleWithWebIdentity", respond: respondSTS,
		},
		"assume role": {
			env: []string{"AWS_PROFILE=p"},
			files: profile(map[string]string{".aws/credentials": "[source]\naws_access_key_id = AKIASOURCE\naws_secret_access_key = " + secret},
				"[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = source\nexternal_id = "+secret+"\n"),
			host: "sts.eu-west-1.amazonaws.com", call: "Action=AssumeRole", respond: respondSTS,
		},
		"SSO": {
			env:   []string{"AWS_PROFILE=p"},
			files: profile(cache("https://start", "2099-01-01T00:00:00Z"), "[profile p]\nsso_start_url = https://start\nsso_region = eu-west-1\n"+account),
			host:  "portal.sso.eu-west-1.amazonaws.com", call: "/federation/credentials", respond: respondSSO,
		},
		"SSO session": {
			env:   []string{"AWS_PROFILE=p"},
			files: profile(cache("s", "2099-01-01T00:00:00Z"), session),
			host:  "portal.sso.eu-west-1.amazonaws.com", call: "/federation/credentials", respond: respondSSO,
		},
		"SSO session with an expired token": {
			env:   []string{"AWS_PROFILE=p"},
			files: profile(cache("s", "2020-01-01T00:00:00Z"), session),
			host:  "oidc.eu-west-1.amazonaws.com", call: "/token", respond: respondSSO,
		},
	}
}

// An endpoint for SQS, wherever it is configured, receives neither tokens nor
// calls for credentials. These go to AWS, or to an endpoint of their own.
func TestCredentialsStayOutOfEndpoints(t *testing.T) {
	for name, login := range logins(t) {
		for _, setting := range []string{"aws.endpoint", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "endpoint_url"} {
			t.Run(name+", "+setting, func(t *testing.T) {
				t.Parallel()
				queue := newParty(t, respondQueue)
				proxy := newParty(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
				output := login.findQueue(t, setting, queue.URL, "HTTPS_PROXY="+proxy.URL)
				if got := proxy.received(); !strings.HasPrefix(got, "CONNECT "+login.host+":443") {
					t.Errorf("connections to AWS: %q, want one to %s; output:\n%s", got, login.host, output)
				}
				if got := queue.received(); got != "" {
					t.Errorf("the endpoint of SQS received:\n%s", got)
				}
			})
			t.Run(name+", "+setting+", and an endpoint for credentials", func(t *testing.T) {
				t.Parallel()
				queue, own := newParty(t, respondQueue), newParty(t, login.respond)
				output := login.findQueue(t, setting, queue.URL,
					"AWS_ENDPOINT_URL_STS="+own.URL, "AWS_ENDPOINT_URL_SSO="+own.URL, "AWS_ENDPOINT_URL_SSO_OIDC="+own.URL)
				if got := own.received(); !strings.Contains(output, "found http://sqs/1/app") || !strings.Contains(got, login.call) {
					t.Errorf("the endpoint for credentials received:\n%s\nwant %s; output:\n%s", got, login.call, output)
				}
				if got := queue.received(); !strings.Contains(got, "Credential=ASIAROLE/") || !strings.Contains(got, "GetQueueUrl") || strings.Contains(got, secret) {
					t.Errorf("the endpoint of SQS received:\n%s", got)
				}
			})
		}
	}
}

// The endpoint in the file is for SQS and Parameter Store, whatever the
// environment says.
func TestEndpointInFile(t *testing.T) {
	configured, other := newParty(t, respondQueue), newParty(t, respondQueue)
	keys := login{env: []string{"AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=s"}, redis: "ssm:/redis"}
	output := keys.findQueue(t, "aws.endpoint", configured.URL,
		"AWS_ENDPOINT_URL="+other.URL, "AWS_ENDPOINT_URL_SQS="+other.URL, "AWS_ENDPOINT_URL_SSM="+other.URL)
	if got := configured.received(); !strings.Contains(got, "AmazonSSM.GetParameters") || !strings.Contains(got, "AmazonSQS.GetQueueUrl") || other.received() != "" {
		t.Errorf("the configured endpoint received:\n%s\nthe other one:\n%s\noutput:\n%s", got, other.received(), output)
	}
}

// findQueue finds a queue in a process of its own, in which the endpoint of SQS
// is set in the given way, and returns the output.
func (l login) findQueue(t *testing.T, setting, endpoint string, env ...string) string {
	t.Helper()
	home, aws := t.TempDir(), "{region: eu-west-1}"
	for name, text := range l.files {
		writeFile(t, filepath.Join(home, name), text)
	}
	switch setting {
	case "": // none
	case "aws.endpoint":
		aws = fmt.Sprintf("{region: eu-west-1, endpoint: %q}", endpoint)
	case "endpoint_url":
		profile := cmp.Or(l.files[".aws/config"], "[default]\n")
		writeFile(t, filepath.Join(home, ".aws/config"), strings.Replace(profile, "]\n", "]\nendpoint_url = "+endpoint+"\n", 1))
	default:
		env = append(env, setting+"="+endpoint)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^TestFindQueue$", "-test.v")
	child.Env = slices.Concat([]string{"HOME=" + home, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
		"SCOUT_CONFIG=redis: {url: " + cmp.Or(l.redis, `redis://localhost:6379/0`) + "}\nqueue: {name: app, topics: {t: W}}\naws: " + aws}, l.env, env)
	output, _ := child.CombinedOutput()
	return string(output)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFindQueue is what (login).findQueue runs.
func TestFindQueue(t *testing.T) {
	if os.Getenv("SCOUT_CONFIG") == "" {
		t.Skip("runs only in a process that another test starts")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := config.Loader{AWS: AWSConfig, NeedQueue: true}.Load(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(ctx, c.AWS, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	url, err := client.QueueURL(ctx, c.Queues[0])
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("found", url)
}
