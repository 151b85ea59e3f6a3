// Package intoto reads and writes in-toto statements.
//
// Source: in-toto Attestation Framework v1.0, spec/v1/statement.md and
// digest_set.md; v0.1 statements (spec/v0.1.0) are read.
package intoto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Statement types, and the predicate type that makes a statement an image
// signature (as cosign v2.6 and v3 write it).
const (
	StatementV1        = "https://in-toto.io/Statement/v1"
	StatementV01       = "https://in-toto.io/Statement/v0.1"
	PredicateSignature = "https://sigstore.dev/cosign/sign/v1"
)

// MaxSubjects bounds the subjects of one statement.
const MaxSubjects = 10_000

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed in-toto statement")

// Subject is one artifact that a statement is about.
type Subject struct {
	Name string `json:"name,omitempty"`
	// Digest maps algorithm names to lower-case hex.
	Digest map[string]string `json:"digest"`
	// Annotations are kept only where all of them are strings.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Statement binds a predicate to subjects.
type Statement struct {
	Type          string
	Subjects      []Subject
	PredicateType string
	// Predicate is the exact text of a JSON object or string; nil where there is
	// none.
	Predicate []byte
}

// Parse reads a statement. Predicate is the exact text of the predicate. It was checked to
// be JSON with one meaning, of any size; its numbers may have any size too.
func Parse(payload []byte) (*Statement, error) {
	root, err := strictjson.ParseOthers(payload, 1)
	if err == nil {
		err = checkBeside(root)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	s := &Statement{}
	switch t := root.Get("_type"); {
	case t.Is(StatementV1):
		s.Type = StatementV1
	case t.Is(StatementV01):
		s.Type = StatementV01
	default:
		return nil, fmt.Errorf("%w: _type is not %s or v0.1", ErrMalformed, StatementV1)
	}
	var ok bool
	if predicateType := root.Get("predicateType"); predicateType.Is(PredicateSignature) {
		s.PredicateType = PredicateSignature // what is known is not copied
	} else if s.PredicateType, ok = predicateType.Str(); !ok || s.PredicateType == "" {
		return nil, fmt.Errorf("%w: no predicateType", ErrMalformed)
	}
	switch predicate := root.Get("predicate"); predicate.Kind() {
	case strictjson.Missing, strictjson.Null:
	case strictjson.Object, strictjson.String: // cosign writes strings of type spdx
		s.Predicate = predicate.Raw()
	default:
		return nil, fmt.Errorf("%w: predicate is neither an object nor a string", ErrMalformed)
	}
	subjects, err := root.Get("subject").Whole()
	if err != nil {
		return nil, fmt.Errorf("%w: subject: %w", ErrMalformed, err)
	}
	return s, s.subjects(subjects)
}

// checkBeside refuses numbers beyond 64 bits beside the predicate. Those in it matter to
// readers of the predicate alone.
func checkBeside(root strictjson.Value) error {
	for name, member := range root.Members() {
		if name == "predicate" {
			continue
		}
		if err := strictjson.CheckNumbers(member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *Statement) subjects(list strictjson.Value) error {
	n := list.Len()
	if list.Kind() != strictjson.Array || n == 0 || n > MaxSubjects {
		return fmt.Errorf("%w: %d subjects, want 1 to %d", ErrMalformed, n, MaxSubjects)
	}
	s.Subjects = make([]Subject, 0, n)
	for v := range list.Elems() {
		var subject Subject
		var ok bool
		if subject.Digest, ok = v.Get("digest").StrMap(); !ok {
			return fmt.Errorf("%w: digest of subject %d is not a map of strings", ErrMalformed, len(s.Subjects))
		}
		if name := v.Get("name"); name.Exists() {
			if subject.Name, ok = name.Str(); !ok {
				return fmt.Errorf("%w: name of subject %d is not a string", ErrMalformed, len(s.Subjects))
			}
		}
		subject.Annotations, _ = v.Get("annotations").StrMap()
		s.Subjects = append(s.Subjects, subject)
	}
	return nil
}

// A Digester gives the lower-case hex digest of the artifact under judgement by one
// algorithm. known is false for an algorithm that it does not compute.
type Digester func(algorithm string) (hex string, known bool, err error)

// Match returns the first subject that is the artifact, or nil. At least one of the
// subject's digests is by a known algorithm. All digests by known algorithms match
// exactly, in lower-case hex.
func (s *Statement) Match(digest Digester) (*Subject, error) {
	for i := range s.Subjects {
		ok, err := s.Subjects[i].matches(digest)
		if err != nil {
			return nil, err
		}
		if ok {
			return &s.Subjects[i], nil
		}
	}
	return nil, nil
}

func (s *Subject) matches(digest Digester) (bool, error) {
	// sha256 first: it costs nothing, and a mismatch saves computing others.
	const first = "sha256"
	matched := false
	check := func(algorithm, claimed string) (bool, error) {
		actual, known, err := digest(algorithm)
		if err != nil || !known {
			return err == nil, err
		}
		matched = true
		return actual == claimed, nil
	}
	if claimed, there := s.Digest[first]; there {
		if ok, err := check(first, claimed); !ok {
			return false, err
		}
	}
	for algorithm, claimed := range s.Digest {
		if algorithm == first {
			continue
		}
		if ok, err := check(algorithm, claimed); !ok {
			return false, err
		}
	}
	return matched, nil
}

// Parts are the pieces of the statement's text, to be written in a row. The
// predicate is one of them, as it is: byte for byte, and not copied. HTML
// characters stay as they are, as other implementations write them.
func (s *Statement) Parts() ([][]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Type          string    `json:"_type"`
		Subjects      []Subject `json:"subject"`
		PredicateType string    `json:"predicateType"`
	}{s.Type, s.Subjects, s.PredicateType})
	if err != nil {
		return nil, err
	}
	head := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	if len(s.Predicate) == 0 {
		return [][]byte{head, []byte("}")}, nil
	}
	return [][]byte{append(head, `,"predicate":`...), s.Predicate, []byte("}")}, nil
}

// Marshal writes a statement.
func (s *Statement) Marshal() ([]byte, error) {
	parts, err := s.Parts()
	return bytes.Join(parts, nil), err
}
