/** Security headers of every response. Pages run only admin's own scripts and connect to no other host. */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

const self = ["'self'"];

/** Helmet with a strict policy. `inlineStyles` is for Bull Board, whose components add inline styles. */
export function securityHeaders({ inlineStyles }: { inlineStyles: boolean }): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: self,
        styleSrc: inlineStyles ? [...self, "'unsafe-inline'"] : self,
        imgSrc: inlineStyles ? [...self, 'data:'] : self,
        fontSrc: self,
        connectSrc: self,
        workerSrc: self,
        manifestSrc: self,
        baseUri: inlineStyles ? self : ["'none'"],
        formAction: self,
        frameAncestors: ["'none'"],
        objectSrc: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'same-origin' },
    xFrameOptions: { action: 'deny' },
  });
}
