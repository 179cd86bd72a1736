"""An HTTP server in a thread for the stand-ins, which can be torn down with its connections in mid-body."""

import http.server
import socket
import threading


class Server:
    """`handler`: a BaseHTTPRequestHandler with the answers."""

    def __init__(self, port, handler, send_buffer=None, backlog=128, address="127.0.0.1"):
        links = self.links = set()

        class Handler(handler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                if send_buffer:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
                links.add(self.connection)

            def finish(self):
                links.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def log_message(self, *arguments):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = backlog

            def handle_error(self, request, client_address):
                pass  # clients that hang up are the tests' business, not an error here

        self.server = Quiet((address, port), Handler)
        threading.Thread(target=lambda: self.server.serve_forever(poll_interval=0.05), daemon=True).start()

    def stop(self):
        """Down at once: running bodies end too."""
        self.server.shutdown()
        self.server.server_close()
        for link in list(self.links):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
