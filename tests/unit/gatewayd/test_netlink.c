/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The framing of what comes from a netlink socket. */
#include "gatewayd/netlink.h"

#include <criterion/criterion.h>
#include <string.h>

Test(netlink, a_message_is_whole_or_it_is_none)
{
	static const struct {
		uint32_t length;
		int left;
		bool ok;
	} cases[] = {
		{ 16, 16, true },          { 20, 64, true },          { 17, 17, true },
		{ 17, 16, false },         { 15, 64, false },         { 0, 64, false },
		{ 16, 15, false },         { 16, -4, false },         { 0x7fffffff, 64, false },
		{ 0x80000000, 64, false }, { 0xffffffff, 64, false }, { 0xadadadad, 64, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nlmsghdr message = { .nlmsg_len = cases[i].length };

		cr_expect_eq(netlink_message_ok(&message, cases[i].left), cases[i].ok,
			     "%#x bytes of %d", cases[i].length, cases[i].left);
	}
}

Test(netlink, sequence_numbers_follow_each_other_and_are_never_0)
{
	struct netlink netlink = { .fd = -1, .sequence = 7 };

	cr_expect_eq(netlink_sequences(&netlink, 3), 7);
	cr_expect_eq(netlink_sequences(&netlink, 1), 10);
	netlink.sequence = 0;
	cr_expect_eq(netlink_sequences(&netlink, 2), 1);
	netlink.sequence = UINT32_MAX - 1;
	cr_expect_eq(netlink_sequences(&netlink, 5), 1, "they would have gone round");
	cr_expect_eq(netlink.sequence, 6);
}

/* An acknowledgement with attributes, as NETLINK_EXT_ACK and NETLINK_CAP_ACK make it. */
struct acknowledgement {
	struct nlmsghdr header;
	struct nlmsgerr error;
	struct nlattr attr;
	char text[16];
};

Test(netlink, the_kernels_text_is_read_where_it_is_whole)
{
	struct acknowledgement ack = {
		.header = { .nlmsg_len = sizeof(ack),
			    .nlmsg_type = NLMSG_ERROR,
			    .nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS },
		.error = { .error = -2, .msg.nlmsg_len = sizeof(struct nlmsghdr) },
		.attr = { .nla_len = sizeof(struct nlattr) + 16, .nla_type = NLMSGERR_ATTR_MSG },
		.text = "no such table",
	};
	uint32_t offset = 1;

	cr_expect_str_eq(netlink_error_text(&ack.header, &offset), "no such table");
	cr_expect_eq(offset, 0);
	memset(ack.text, 'x', sizeof(ack.text));
	cr_expect_null(netlink_error_text(&ack.header, &offset), "without an end");
	ack.attr.nla_len = 200;
	cr_expect_null(netlink_error_text(&ack.header, &offset), "over the message's end");
	ack.header.nlmsg_flags = NLM_F_ACK_TLVS;
	ack.error.msg.nlmsg_len = 5000;
	cr_expect_null(netlink_error_text(&ack.header, &offset), "a request longer than all");
	ack.header.nlmsg_flags = 0;
	cr_expect_null(netlink_error_text(&ack.header, &offset), "none was sent");
}
