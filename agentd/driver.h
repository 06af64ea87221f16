/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What agentd asks of a container engine, and what the engine tells back. Docker stands behind it;
 * nothing here is Docker's. An engine is told single steps; what step comes next is decided in
 * plan.h and never in a driver.
 */
#pragma once

#include "lib/address.h"
#include "lib/error.h"
#include "proto/environment.h"
#include "proto/log_session.h"
#include "proto/report.h"

#define DIGEST_STRING_MAX 65 /* SHA-256 in hex and a terminating zero */

enum instance_status {
	INSTANCE_CREATED, /* never started: it may be half made, and START finishes it */
	INSTANCE_RUNNING,
	INSTANCE_RESTARTING, /* it ended by itself, and the engine is about to start it again */
	INSTANCE_PAUSED,     /* by somebody else */
	INSTANCE_EXITED,
	INSTANCE_REMOVING, /* the engine is at it */
	INSTANCE_DEAD,     /* the engine failed to remove it */
};

struct instance_port {
	uint16_t port; /* in the container */
	enum protocol protocol;
	struct endpoint endpoint; /* where it is published */
};

/* A container of ours as the engine last described it. */
struct instance {
	char *environment;
	char *id;     /* the engine's; changes when the container is replaced */
	char *digest; /* of the assignment it was made from; "" if unknown */
	uint64_t revision;
	enum instance_status status;
	int exit_code;
	bool movable; /* it can run on another host, and runs here by a lease */
	bool out_of_memory;
	bool stopped_on_request; /* it was STOP that ended this run, with hold set */
	unsigned restarts;       /* by the engine, since it was started */
	char *started;           /* when, as the engine writes it: another start, another text */
	int64_t started_at, finished_at; /* the same as Unix seconds, and its last end; 0: never */
	char *error;                     /* why its last start failed; NULL if it did not */
	struct instance_port *ports;     /* only while it runs */
	size_t n_ports;
};

void instance_clear(struct instance *instance); /* frees what it owns and zeroes it */

enum driver_action {
	DRIVER_CREATE, /* image, volumes, container; ends in INSTANCE_CREATED */
	DRIVER_START,  /* puts keys and account into it if it never ran, and starts it */
	DRIVER_STOP,
	DRIVER_REMOVE,
	DRIVER_ACTION_MAX,
};

const char *driver_action_name(enum driver_action action);

/* One step for one environment. Everything it points to stays valid until on_done or cancel. */
struct driver_request {
	enum driver_action action;
	const char *environment;
	const char *instance; /* id; NULL for CREATE, and for REMOVE where only volumes are left */
	const char *run;      /* STOP: when it was started, see struct instance */
	const struct assignment *assignment; /* for CREATE and START */
	const char *digest;                  /* for CREATE */
	uint64_t epoch;                      /* for CREATE */
	bool hold;  /* STOP: this run is over on request, and says so from now on */
	bool purge; /* REMOVE: its local volumes too */
	/* A new state (PULLING, CREATING, …) and its reason; may be called any number of times. */
	void (*on_progress)(void *userdata, enum container_state state, const char *reason);
	/* Exactly once, and never from inside run. error is 0 or -errno with a sentence. The
	 * instance has been observed anew by then. */
	void (*on_done)(void *userdata, int error, const char *message);
	void *userdata;
};

/* What a container of ours has written: all, or the newest lines, and what it goes on to write
 * until it ends. An engine that keeps no time or no streams apart says stdout and no time. */
struct driver_logs_request {
	const struct log_session *session; /* copied */
	/* The container is there, and ours. */
	void (*on_begin)(void *userdata);
	/* Each text, in order; see docker_frames.h. Not 0 ends it with that error; it must not
	 * cancel it. */
	int (*on_text)(void *userdata, enum log_stream stream, const char *time, const char *text,
		       size_t length);
	/* Exactly once, and never from inside logs. -ENOENT: there is no container. */
	void (*on_done)(void *userdata, int error, const char *message);
	void *userdata;
};

struct driver_events {
	/* It is new or was looked at again; borrowed. */
	void (*on_instance)(void *userdata, const struct instance *instance);
	void (*on_gone)(void *userdata, const char *environment, const char *id);
	/* All that exists has been told; again after each full look. */
	void (*on_synced)(void *userdata);
	/* NULL: the engine answers. Otherwise a sentence; on_synced comes before the next NULL. */
	void (*on_engine)(void *userdata, const char *error);
};

struct driver;
struct driver_operation;
struct driver_logs;

struct driver_ops {
	void (*free)(struct driver *driver);
	/* Begins to look and tells events from the loop, for as long as the driver lives. */
	int (*start)(struct driver *driver, const struct driver_events *events, void *userdata);
	/* -ENOTSUP with a sentence for what this engine can never do. */
	int (*validate)(struct driver *driver, const struct assignment *assignment,
			struct error *err);
	int (*run)(struct driver *driver, const struct driver_request *request,
		   struct driver_operation **ret);
	/* Ends a step without on_done. What it had begun is found again by looking. */
	void (*cancel)(struct driver *driver, struct driver_operation *operation);
	/* Begins to read a log; *ret is gone with on_done, and must be gone before the driver is.
	 */
	int (*logs)(struct driver *driver, const struct driver_logs_request *request,
		    struct driver_logs **ret);
	/* Stops the engine from being read, or goes on; what has been read may still come. */
	void (*logs_pause)(struct driver_logs *logs, bool paused);
	/* Ends it without on_done. */
	void (*logs_cancel)(struct driver_logs *logs);
};

/* The first member of every driver. */
struct driver {
	const struct driver_ops *ops;
};

static inline void driver_free(struct driver *driver)
{
	if (driver)
		driver->ops->free(driver);
}

DEFINE_CLEANUP(struct driver *, driver_free, cleanup_driver)
