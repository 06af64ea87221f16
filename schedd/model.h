/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows that schedd keeps: hosts, gateways, environments and ports, as plain data with copy and
 * free. A row is a version: what a commit made is never edited again, so the large parts that
 * do not change are shared by reference (the origins).
 *
 * No row knows how it is stored (store_rows.c), shown (answers.c) or indexed (state.c).
 */
#pragma once

#include "lib/json.h"
#include "proto/environment.h"
#include "proto/mapping.h"
#include "proto/report.h"
#include "schedd/quota.h"

#define REASON_MAX 400
#define SERVICE_NAME_MAX 32
#define RECORD_ID_MAX 64 /* of any kind, with the terminating zero */

enum record_kind {
	RECORD_HOST,
	RECORD_GATEWAY,
	RECORD_ENVIRONMENT,
	RECORD_PORT,
	RECORD_CUSTOMER,
	RECORD_TOKEN,
	RECORD_KEY,
	RECORD_KIND_MAX,
};

/* First member of each row. */
struct record {
	enum record_kind kind;
	bool gone;         /* this version says that the row is no more */
	bool quiet;        /* it says nothing new but to the next leader: the revision stays */
	uint64_t revision; /* of the commit that made this version, or the last one not quiet */
};

/* What an operator wants of a host; whether it is heard of is `online`. */
enum host_mode {
	HOST_ACTIVE,
	HOST_CORDONED,
	HOST_DRAINING,
	HOST_MAINTENANCE,
	HOST_MODE_MAX,
	HOST_MODE_INVALID = -1,
};

struct host_origin {
	unsigned references;
	struct host_registration registration;
};

struct host {
	struct record record;
	struct host_origin *origin;
	bool online;
	enum host_mode mode;
	int64_t status_since; /* of online */
	int64_t mode_since;
	unsigned cpu_overcommit; /* percent of its CPU that may be given away; 0: the default */
	/* So long nobody who led has heard of it, in a row, when that was written last: now and
	 * then, see liveness.c. A sum of spans, of which a clock that is set knows nothing. */
	uint64_t silent_ms;
};

/* Bounds of an overcommit. */
#define OVERCOMMIT_MIN 100
#define OVERCOMMIT_MAX 1600

struct gateway_origin {
	unsigned references;
	struct gateway_registration registration;
};

struct gateway {
	struct record record;
	struct gateway_origin *origin;
	bool online;
	int64_t status_since;
	/* Revision at which its addresses changed last: until it has confirmed that one it may
	 * still hold mappings of addresses that it served before. */
	uint64_t addresses_revision;
};

enum environment_stage {
	STAGE_NONE,
	STAGE_PLACING,
	STAGE_PULLING,
	STAGE_CREATING,
	STAGE_STARTING,
	STAGE_PUBLISHING,
	STAGE_CRASH_LOOP, /* it keeps ending; the host tries again with growing delays */
	STAGE_MAX,
	STAGE_INVALID = -1,
};

enum assignment_state {
	ASSIGNMENT_NONE, /* not in a host's desired state */
	ASSIGNMENT_RUNNING,
	ASSIGNMENT_STOPPED,
	ASSIGNMENT_MAX,
	ASSIGNMENT_INVALID = -1,
};

/* What was asked for and is not done yet. The row keeps it until then, through any crash. */
enum environment_action {
	ACTION_NONE,
	ACTION_RESTART, /* stop the container, then start it */
	ACTION_MOVE,    /* leave the host, then be placed anew */
	ACTION_MAX,
	ACTION_INVALID = -1,
};

/* What of an environment never changes. It holds secrets: never log it. */
struct environment_origin {
	unsigned references;
	char id[ENVIRONMENT_ID_MAX + 1];
	struct environment_spec spec;
	char *login;
	char *password_hash;       /* NULL once deleted */
	char *ssh_host_key;        /* private, OpenSSH format; NULL once deleted */
	char *ssh_host_key_public; /* "ssh-ed25519 AAAA…" */
	int64_t created_at;
};

struct environment {
	struct record record;
	struct environment_origin *origin;
	enum environment_phase phase;
	enum environment_stage stage;
	enum assignment_state assignment;
	bool power; /* it is wanted to run */
	enum environment_action action;
	uint64_t assignment_revision; /* at which the host's item changed last, removal included */
	int64_t phase_since;
	char host[FOLLOWER_NAME_MAX + 1]; /* whose resources it holds; "" for none */
	json_t *gpus;                     /* [{"uuid","milli"}], immutable; NULL for none */
	char move_to[FOLLOWER_NAME_MAX +
		     1];    /* with ACTION_MOVE: the host that is wanted; "": any */
	int64_t expires_at; /* Unix seconds; 0: never */
	int exit_code;      /* of its last end; EXIT_CODE_NONE: it never ended */
	unsigned crashes;   /* ends in a row since it last ran well */
	int64_t next_try;   /* of a crash loop; 0: none is waited for */
	char reason[REASON_MAX];
};

enum port_state {
	PORT_RESERVED,  /* owned; in the gateways' desired state once it has a target */
	PORT_PUBLISHED, /* gateways have confirmed it */
	PORT_WITHDRAWING,
	PORT_QUARANTINED,
	PORT_STATE_MAX,
	PORT_STATE_INVALID = -1,
};

struct port {
	struct record record;
	struct mapping_key key;
	char environment[ENVIRONMENT_ID_MAX + 1];
	char service[SERVICE_NAME_MAX + 1];
	enum port_state state;
	bool has_target;
	struct endpoint target;
	uint64_t mapping_revision; /* at which the gateways' item changed last, removal included */
	int64_t expires_at; /* the mapping's, with a target: its environment's deadline; 0: never */
	int64_t since;      /* of state */
	int64_t quarantined_until; /* 0 but in quarantine */
	/* So long it has waited to leave the gateways when that was written last: as silent_ms. */
	uint64_t waited_ms;
};

#define CUSTOMER_NAME_MAX ENVIRONMENT_CUSTOMER_MAX

/* Who owns environments. Its id is its name. */
struct customer {
	struct record record;
	char id[CUSTOMER_NAME_MAX + 1];
	int64_t created_at;
	struct quota quota;
};

/* Who may call: see access.h for what each of them may. */
enum role {
	ROLE_ADMIN,
	ROLE_CUSTOMER,
	ROLE_HOST,
	ROLE_GATEWAY,
	ROLE_MAX,
	ROLE_INVALID = -1,
};

/* "customer/alice": a role and a name, whole, as nobody may pass for another. */
#define ACTOR_MAX (8 + 1 + FOLLOWER_NAME_MAX)

#define TOKEN_ID_MAX 20 /* "tok-" and random text */
#define TOKEN_NAME_MAX 63
#define TOKEN_HASH_SIZE 32 /* SHA-256 */

/* A bearer token, of which only the hash is kept. */
struct token {
	struct record record;
	char id[TOKEN_ID_MAX + 1];
	char name[TOKEN_NAME_MAX + 1]; /* unique */
	enum role role;
	char subject[FOLLOWER_NAME_MAX + 1]; /* the customer, host or gateway; "" for an admin */
	unsigned char hash[TOKEN_HASH_SIZE];
	char created_by[ACTOR_MAX + 1];
	int64_t created_at;
	int64_t expires_at;   /* 0: never */
	int64_t last_used_at; /* 0: not yet; see TOKEN_USE_SECONDS for how exact */
};

#define KEY_ID_MAX 48 /* hexadecimal */
#define KEY_FINGERPRINT_SIZE 32

/* A request that must not be carried out twice: its client's key, a hash of what it asked, the row
 * that came of it, and who asked. */
struct key {
	struct record record;
	char id[KEY_ID_MAX + 1]; /* a hash of who asked and of the key */
	unsigned char fingerprint[KEY_FINGERPRINT_SIZE];
	char subject[RECORD_ID_MAX];
	char caller[ACTOR_MAX + 1]; /* "": not known, of before that was written down */
	int64_t created_at;
};

const char *role_name(enum role role);
enum role role_parse(const char *text);
const char *host_mode_name(enum host_mode mode);
enum host_mode host_mode_parse(const char *text);
/* "online", "offline", "draining" or "maintenance"; a cordoned host is "draining" to a reader of
 * the status: it takes nothing new. One in maintenance is so whether it is heard of or not. */
const char *host_status_name(const struct host *host);
const char *stage_name(enum environment_stage stage);
enum environment_stage stage_parse(const char *text);
const char *environment_action_name(enum environment_action action);
enum environment_action environment_action_parse(const char *text);
const char *assignment_name(enum assignment_state assignment);
enum assignment_state assignment_parse(const char *text);
const char *port_state_name(enum port_state state);
enum port_state port_state_parse(const char *text);
const char *record_kind_name(enum record_kind kind);

/* The mapping is in the desired state of the gateways that serve its address. */
bool port_is_mapped(const struct port *port);
/* Does this registration name the address? */
bool gateway_serves(const struct gateway *gateway, const struct address *address);

/* A new version with the same content, to be edited. NULL when out of memory. */
struct record *record_copy(const struct record *record);
void record_free(struct record *record); /* NULL is fine */

/* New zeroed rows with one reference to an empty origin where there is one. NULL: no memory. */
struct host *host_new(void);
struct gateway *gateway_new(void);
struct environment *environment_new(void);
struct port *port_new(void);
struct customer *customer_new(void);
struct token *token_new(void);
struct key *key_new(void);

/* Replaces a version's origin by an empty one that it alone holds. NULL when out of memory. */
struct host_origin *host_renew_origin(struct host *host);
struct gateway_origin *gateway_renew_origin(struct gateway *gateway);
/* Takes the origin of another version of the same environment in place of its own. */
void environment_share_origin(struct environment *environment, const struct environment *other);
/* Replaces the origin by a copy without secrets. */
int environment_drop_secrets(struct environment *environment) _must_check_;

#define DEFINE_RECORD_CLEANUP(type)                                   \
	static inline _unused_ void cleanup_##type(struct type **row) \
	{                                                             \
		if (*row)                                             \
			record_free((struct record *)*row);           \
	}

DEFINE_RECORD_CLEANUP(record)
DEFINE_RECORD_CLEANUP(host)
DEFINE_RECORD_CLEANUP(gateway)
DEFINE_RECORD_CLEANUP(environment)
DEFINE_RECORD_CLEANUP(port)
DEFINE_RECORD_CLEANUP(customer)
DEFINE_RECORD_CLEANUP(token)
DEFINE_RECORD_CLEANUP(key)
