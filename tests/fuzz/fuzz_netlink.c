/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel answers: elements of a map, the generation, and the outcome of a transaction. The
 * socket's calls are replaced (by the linker's --wrap) by the input, whose first byte says which of
 * them it is. What libnftnl parses is not tried: it ends the process where an attribute is not as
 * it should be. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "gatewayd/dump.h"
#include "gatewayd/lookup.h"
#include "gatewayd/transact.h"
#include "tests/fuzz/fuzz.h"

#define SEQUENCE 0x61616161 /* of the first request: "aaaa" */

static const unsigned char *input;
static size_t left;

ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags);
ssize_t __wrap_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
		      socklen_t to_length);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);

/* Datagrams: a length of two bytes and what it counts. Then there is nothing more. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags)
{
	size_t length;

	if (left < 2) {
		errno = EAGAIN;
		return -1;
	}
	length = (size_t)input[0] << 8 | input[1];
	length = MIN(length, left - 2);
	if (length > header->msg_iov->iov_len) {
		length = header->msg_iov->iov_len;
		header->msg_flags = MSG_TRUNC;
	}
	memcpy(header->msg_iov->iov_base, input + 2, length);
	memset(header->msg_name, 0, header->msg_namelen);
	input += 2 + length;
	left -= 2 + length;
	return (ssize_t)length;
}

ssize_t __wrap_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
		      socklen_t to_length)
{
	return (ssize_t)length;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return 0;
}

static void try_element(const char *address, enum shape_set set)
{
	struct mapping_key key = { .port = 30001, .protocol = PROTOCOL_TCP };
	struct netlink netlink = { .fd = -1, .sequence = SEQUENCE };
	struct member_key wanted;
	struct endpoint target;
	struct element element;
	bool exists = false;

	fuzz_require(address_parse(address, &key.address) == 0);
	element_key_of(set, &key, &wanted);
	if (lookup_element(&netlink, &wanted, &exists, &element) < 0 || !exists)
		return;
	fuzz_require(element.key.length <= SHAPE_KEY_MAX);
	fuzz_require(memchr(element.comment, '\0', sizeof(element.comment)) != NULL);
	if (shape_value_parse(set, element.value, element.value_length, &target) == 0)
		fuzz_require(target.address.family == key.address.family);
}

static void try_transaction(bool receipt)
{
	struct batch batch = { .begin_sequence = SEQUENCE,
			       .last_sequence = SEQUENCE + 3,
			       .end_sequence = SEQUENCE + 4,
			       .n_sequences = 5 };
	struct netlink netlink = { .fd = -1, .receive_bytes = SIZE_MAX };
	struct transact_result result;
	struct error err = ERROR_INIT;

	fuzz_require(transact(&netlink, &batch, receipt, 0, &result, &err) == 0);
	fuzz_require(result.n_errors <= TRANSACT_ERRORS_MAX);
	/* It never takes an error for a success. */
	if (result.outcome == TRANSACT_COMMITTED || result.outcome == TRANSACT_ACKED)
		fuzz_require(result.n_errors == 0 && result.batch_error == 0);
	if (result.outcome == TRANSACT_REJECTED)
		fuzz_require(result.n_errors > 0 || result.batch_error < 0);
	for (size_t i = 0; i < result.n_errors; i++)
		fuzz_require(result.errors[i].errnum < 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct netlink netlink = { .fd = -1, .sequence = SEQUENCE };
	uint32_t generation;

	if (size < 1)
		return 0;
	input = data + 1;
	left = size - 1;
	switch (data[0] % 4) {
	case 0:
		try_element("203.0.113.10", SHAPE_MAPPING4);
		break;
	case 1:
		try_element("2001:db8::10", SHAPE_MAPPING6);
		break;
	case 2:
		(void)!dump_generation(&netlink, &generation);
		break;
	case 3:
		try_transaction(data[0] & 4);
		break;
	}
	return 0;
}
