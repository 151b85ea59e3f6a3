// Package lru keeps what was used last.
package lru

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// Cache keeps what was used last, up to a weight. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	mu     sync.Mutex
	most   int64
	weight func(V) int64
	used   int64
	order  *list.List // of *entry, the last used in front
	// evicted counts entries that had to make room.
	evicted atomic.Int64
	byKey   map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key K
	v   V
}

// New keeps most entries, or, with weight, as many as weigh so much together.
func New[K comparable, V any](most int64, weight func(V) int64) *Cache[K, V] {
	if weight == nil {
		weight = func(V) int64 { return 1 }
	}
	return &Cache[K, V]{most: most, weight: weight, order: list.New(), byKey: make(map[K]*list.Element)}
}

// Get returns an entry, and notes that it was used.
func (l *Cache[K, V]) Get(key K) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).v, true
}

// Put adds or replaces an entry. One that weighs more than all may is not kept.
func (l *Cache[K, V]) Put(key K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(key)
	if l.weight(v) > l.most {
		return
	}
	l.byKey[key] = l.order.PushFront(&entry[K, V]{key, v})
	l.used += l.weight(v)
	for l.used > l.most {
		l.remove(l.order.Back().Value.(*entry[K, V]).key)
		l.evicted.Add(1)
	}
}

// Evicted counts the entries that had to make room for others so far: while it stays
// the same, what was put in and not removed is there.
func (l *Cache[K, V]) Evicted() int64 { return l.evicted.Load() }

// Remove forgets an entry.
func (l *Cache[K, V]) Remove(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(key)
}

func (l *Cache[K, V]) remove(key K) {
	if e, ok := l.byKey[key]; ok {
		l.used -= l.weight(e.Value.(*entry[K, V]).v)
		l.order.Remove(e)
		delete(l.byKey, key)
	}
}
