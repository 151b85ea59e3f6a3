package proxy

import (
	"container/list"
	"sync"
)

// lru keeps what was used last, up to a weight. It is safe for concurrent use.
type lru[K comparable, V any] struct {
	mu     sync.Mutex
	most   int64
	weight func(V) int64
	used   int64
	order  *list.List // of *lruEntry, the last used in front
	byKey  map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key K
	v   V
}

// newLRU keeps most entries, or as many as weigh so much together.
func newLRU[K comparable, V any](most int64, weight func(V) int64) *lru[K, V] {
	if weight == nil {
		weight = func(V) int64 { return 1 }
	}
	return &lru[K, V]{most: most, weight: weight, order: list.New(), byKey: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry[K, V]).v, true
}

func (l *lru[K, V]) put(key K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(key)
	if l.weight(v) > l.most {
		return
	}
	l.byKey[key] = l.order.PushFront(&lruEntry[K, V]{key, v})
	l.used += l.weight(v)
	for l.used > l.most {
		l.removeLocked(l.order.Back().Value.(*lruEntry[K, V]).key)
	}
}

func (l *lru[K, V]) remove(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(key)
}

func (l *lru[K, V]) removeLocked(key K) {
	if e, ok := l.byKey[key]; ok {
		l.used -= l.weight(e.Value.(*lruEntry[K, V]).v)
		l.order.Remove(e)
		delete(l.byKey, key)
	}
}
