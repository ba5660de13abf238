"""What a command needs around its flow: servers, a connection, somebody who reports, room on the disk."""
