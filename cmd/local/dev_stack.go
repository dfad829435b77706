package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"scout/config"
	"scout/handler"
	"scout/internal/devpage"
	"scout/internal/devstack"
)

// maxReceives is the number of receives after which a message moves to its dead-letter
// queue.
const maxReceives = 5

// A stack is SNS and SQS in this process, with the configured queues and topics.
type stack struct {
	server  *devstack.Server
	page    *devpage.Page
	http    *http.Server
	address string // at which this machine reaches it
	log     *slog.Logger

	mu            sync.Mutex
	config        *config.Config        // the last applied one, adapted to the stack
	queues        map[string]string     // ARNs of its queues by name
	subscriptions map[subscriber]string // their ARNs
}

// A subscriber is a queue that is subscribed to a topic.
type subscriber struct{ topicARN, queue string }

// startStack starts a stack that listens at an address. The text source describes the
// origin of the configuration c. The stack calls onDeadLetter as a devstack.Server
// does.
func startStack(address, source string, c *config.Config, log *slog.Logger, onDeadLetter func(devstack.DeadLetter)) (*stack, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError("SNS and SQS", "listen", err)
	}
	s := &stack{
		server: devstack.NewServer(), address: localAddress(listener.Addr()), log: log,
		config: &config.Config{}, subscriptions: map[subscriber]string{},
	}
	s.server.Log = log
	s.server.OnTopic = s.subscribe
	s.page = devpage.New(s.server, s.current, source)
	s.server.OnDeadLetter = func(d devstack.DeadLetter) {
		onDeadLetter(d)
		s.page.DeadLetter(d)
	}
	s.http = &http.Server{Handler: devstack.LocalOnly(http.HandlerFunc(s.serve), address), ReadHeaderTimeout: 5 * time.Second}
	if _, err := s.apply(c); err != nil {
		_ = listener.Close()
		return nil, err
	}
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

// serve serves the page, and SNS and SQS at the same address.
func (s *stack) serve(w http.ResponseWriter, r *http.Request) {
	if devpage.Serves(r) {
		s.page.ServeHTTP(w, r)
		return
	}
	s.server.ServeHTTP(w, r)
}

// localAddress returns the address at which this machine reaches a listener.
func localAddress(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// close stops the servers. Messages in the queues are lost.
func (s *stack) close() {
	s.server.Close()
	_ = s.http.Close()
}

// endpoint returns the URL of SNS and SQS.
func (s *stack) endpoint() string { return "http://" + s.address }

// current returns the configuration that was applied last.
func (s *stack) current() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// apply creates the missing queues and topics of a configuration, and subscribes the
// queues. It returns the configuration adapted to the stack. Queues and topics that the
// configuration no longer has remain without subscriptions. If apply returns an error,
// the previous configuration stays in use.
func (s *stack) apply(c *config.Config) (*config.Config, error) {
	adapted := adaptConfig(c, s.address)
	queues := map[string]string{}
	for _, q := range adapted.Queues {
		arn, err := s.createQueue(q.Name, deadLetterName(q.Name, adapted.Queues))
		if err != nil {
			return nil, fmt.Errorf("queue %s: %w", q.Name, err)
		}
		queues[q.Name] = arn
	}
	for _, q := range adapted.Queues {
		for _, route := range q.Topics {
			if isPattern(route.Key) {
				continue // subscribed to when a matching topic is created
			}
			arn := topicARN(route.Key)
			if err := s.server.CreateTopicARN(arn, topicAttributes(arn)); err != nil {
				return nil, fmt.Errorf("topic %s: %w", route.Key, err)
			}
		}
	}
	s.mu.Lock()
	s.config, s.queues = adapted, queues
	s.mu.Unlock()
	for _, arn := range s.server.TopicARNs() {
		s.subscribe(arn)
	}
	return adapted, nil
}

// adaptConfig returns a copy of c whose AWS endpoint and queues are those of the stack
// at an address.
func adaptConfig(c *config.Config, address string) *config.Config {
	adapted := *c
	adapted.AWS = config.AWS{Region: "us-east-1", AccessKey: "scout", SecretKey: "scout", Endpoint: "http://" + address, SDKOnly: c.AWS.SDKOnly}
	adapted.Limits = config.Limits{}
	adapted.Queues = slices.Clone(c.Queues)
	for i := range adapted.Queues {
		q := &adapted.Queues[i]
		q.Name = cmp.Or(q.Label(), "scout")
		q.URL = devstack.QueueURL(address, q.Name)
		q.WaitTime = time.Second // so a stop does not wait long for a poll
	}
	return &adapted
}

// isPattern reports whether a key of the configuration has wildcards.
func isPattern(key string) bool { return strings.ContainsAny(key, "*?") }

// topicARN returns the ARN of the topic of a key: the key itself or, for a name, the
// one that the stack gives it.
func topicARN(key string) string {
	if strings.HasPrefix(key, "arn:") {
		return key
	}
	return devstack.TopicARN(key)
}

func topicAttributes(name string) map[string]string {
	if strings.HasSuffix(name, ".fifo") {
		return map[string]string{"FifoTopic": "true"}
	}
	return nil
}

// createQueue creates a queue and its dead-letter queue.
func (s *stack) createQueue(name, deadName string) (arn string, err error) {
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoQueue"] = "true"
	}
	dead, err := s.server.CreateQueue(deadName, attributes)
	if err != nil {
		return "", err
	}
	attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead, maxReceives)
	return s.server.CreateQueue(name, attributes)
}

// deadLetterName returns a name for the dead-letter queue of a queue, which none of the
// configured queues has.
func deadLetterName(name string, configured []config.Queue) string {
	const maxName = 80 // in SQS
	base, isFIFO := strings.CutSuffix(name, ".fifo")
	end := "_dead"
	if isFIFO {
		end += ".fifo"
	}
	for {
		dead := base[:min(len(base), maxName-len(end))] + end
		if !slices.ContainsFunc(configured, func(q config.Queue) bool { return q.Name == dead }) {
			return dead
		}
		end = "_dead" + end
	}
}

// subscribe subscribes the queues to a topic: each queue to the topics that it has
// routes for, and a single queue to every topic, to make a missing route visible. It
// ends the topic's other subscriptions.
func (s *stack) subscribe(topicARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, q := range s.config.Queues {
		if _, ok := handler.NewRouter(handler.Routes{Topics: q.Topics}).Topic(topicARN); ok || len(s.config.Queues) == 1 {
			wanted[q.Name] = true
		}
	}
	for sub, arn := range s.subscriptions {
		if sub.topicARN == topicARN && !wanted[sub.queue] {
			s.server.Unsubscribe(arn)
			delete(s.subscriptions, sub)
		}
	}
	for queue := range wanted {
		sub := subscriber{topicARN, queue}
		if s.subscriptions[sub] != "" {
			continue
		}
		arn, err := s.server.Subscribe(topicARN, s.queues[queue], nil)
		if err != nil {
			s.log.Warn("subscription failed", "queue", queue, "topic", topicARN, "error", err)
			continue
		}
		s.subscriptions[sub] = arn
	}
}

// subscribers returns the number of queues that are subscribed to a topic.
func (s *stack) subscribers(topicARN string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subscriptions {
		if sub.topicARN == topicARN {
			n++
		}
	}
	return n
}
