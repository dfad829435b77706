package devstack

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Attribute is a message attribute of SQS or SNS. DataType is String, Number or Binary, perhaps with a ".suffix";
// a Binary one has its value in BinaryValue, all others in StringValue.
type Attribute struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

func (a Attribute) binary() bool { return a.kind() == "Binary" }

func (a Attribute) kind() string {
	kind, _, _ := strings.Cut(a.DataType, ".")
	return kind
}

// value returns the bytes of the value, whatever its type.
func (a Attribute) value() []byte {
	if a.binary() {
		return a.BinaryValue
	}
	return []byte(a.StringValue)
}

var validAttributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// attributesFault returns why AWS would refuse the attributes, "" if it would not.
func attributesFault(attributes map[string]Attribute) string {
	for name, a := range attributes {
		lower := strings.ToLower(name)
		reserved := strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.")
		if !validAttributeName.MatchString(name) || len(name) > 256 || reserved {
			return fmt.Sprintf("The message attribute name %q is invalid.", name)
		}
		switch a.kind() {
		case "String", "Binary":
		case "Number":
			if _, err := strconv.ParseFloat(a.StringValue, 64); err != nil {
				return fmt.Sprintf("Can't cast the value of message attribute %q to a number.", name)
			}
		default:
			return fmt.Sprintf("The message attribute %q has an invalid message attribute type %q, the set of supported type prefixes is Binary, Number, and String.", name, a.DataType)
		}
		if len(a.value()) == 0 {
			return fmt.Sprintf("The message attribute %q must contain a non-empty message attribute value of type %s.", name, a.kind())
		}
	}
	return ""
}

// attributesSize returns how much the attributes count towards the limit of a message.
func attributesSize(attributes map[string]Attribute) int {
	size := 0
	for name, a := range attributes {
		size += len(name) + len(a.DataType) + len(a.value())
	}
	return size
}

// selectAttributes returns those of the attributes that a receive asks for by name, by prefix ("foo.*") or
// altogether ("All", ".*").
func selectAttributes(attributes map[string]Attribute, names []string) map[string]Attribute {
	selected := make(map[string]Attribute)
	for name, a := range attributes {
		if slices.ContainsFunc(names, func(wanted string) bool {
			prefix, isPrefix := strings.CutSuffix(wanted, ".*")
			return wanted == name || wanted == "All" || isPrefix && strings.HasPrefix(name, prefix)
		}) {
			selected[name] = a
		}
	}
	return selected
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// md5Attributes returns the digest of the attributes that SDKs verify, "" if there are none. See "Calculating the MD5
// message digest for message attributes" in the SQS developer guide.
func md5Attributes(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	const stringTransport, binaryTransport = 1, 2
	var b []byte
	field := func(s []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field([]byte(name))
		field([]byte(a.DataType))
		if a.binary() {
			b = append(b, binaryTransport)
		} else {
			b = append(b, stringTransport)
		}
		field(a.value())
	}
	return md5Hex(string(b))
}
