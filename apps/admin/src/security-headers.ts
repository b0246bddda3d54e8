/** Headers for every answer. Always true: pages run scripts from our own files only and talk to no other host. */
import type { RequestHandler } from 'express';
import helmet from 'helmet';

const self = ["'self'"];

/**
 * Helmet with a strict policy. `inlineStyles` is for Bull Board, whose components set style attributes and
 * add style elements; scripts stay strict there too.
 */
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
