// A doubly linked list whose links live in the elements: no allocation, O(1) removal from the
// middle. An element leaves its list by itself when it is destroyed.
//
// Not thread-safe; list and elements belong to one thread. The list must outlive its elements or
// be emptied first.
#pragma once

#include <cstddef>

namespace fyr::proxy {

// `Tag` tells several links of one element apart.
template <class Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->prev_ = prev_;
    prev_->next_ = next_;
    next_ = prev_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class IntrusiveList;
  ListLink* next_ = nullptr;
  ListLink* prev_ = nullptr;
};

template <class T, class Tag>
class IntrusiveList {
  using Link = ListLink<Tag>;

 public:
  IntrusiveList() { head_.next_ = head_.prev_ = &head_; }
  ~IntrusiveList() {
    while (pop_front() != nullptr) {
    }
    head_.next_ = head_.prev_ = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return head_.next_ == &head_; }
  T* front() { return empty() ? nullptr : owner(head_.next_); }
  T* back() { return empty() ? nullptr : owner(head_.prev_); }
  void push_back(T& element) {
    Link& link = element;
    link.unlink();
    link.prev_ = head_.prev_;
    link.next_ = &head_;
    head_.prev_->next_ = &link;
    head_.prev_ = &link;
  }
  T* pop_front() {
    T* element = front();
    if (element != nullptr) static_cast<Link*>(element)->unlink();
    return element;
  }
  // The element after `element`, null at the end.
  T* next(T& element) {
    Link& link = element;
    return link.next_ == &head_ ? nullptr : owner(link.next_);
  }

 private:
  static T* owner(Link* link) { return static_cast<T*>(link); }
  Link head_;
};

}  // namespace fyr::proxy
