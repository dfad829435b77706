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

// Attribute is a message attribute of SQS or SNS. DataType is String, Number or Binary, optionally
// followed by a dot and a custom type. BinaryValue holds the value of a Binary attribute, StringValue
// that of all others.
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

// value returns the value as bytes, whatever its type.
func (a Attribute) value() []byte {
	if a.binary() {
		return a.BinaryValue
	}
	return []byte(a.StringValue)
}

var validAttributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// invalidAttribute returns the reason why AWS would reject the attributes, or "" if it would accept them.
func invalidAttribute(attributes map[string]Attribute) string {
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

// attributesSize returns the number of bytes by which the attributes count towards a message's limit.
func attributesSize(attributes map[string]Attribute) int {
	size := 0
	for name, a := range attributes {
		size += len(name) + len(a.DataType) + len(a.value())
	}
	return size
}

// selectAttributes returns the attributes that a receive asks for: by name, by prefix ("foo.*"), or
// all of them ("All", ".*").
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

// md5Attributes returns the digest of the attributes that SDKs verify, or "" if there are no attributes.
// See "Calculating the MD5 message digest for message attributes" in the SQS developer guide.
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
